"""What must not stand in the repository: paths of a machine, and addresses that pin where packages come from."""

import re
import subprocess

import pytest

from tests.processes import ROOT

# In pieces, so that this file does not hold them itself.
FORBIDDEN = {
    "a home folder": "/" + "home/",
    "root's folder": "/" + "root/",
    "a work folder": "/" + "work/",
    "a package index": "py" + "pi.org",
    "a package host": "python" + "hosted",
    "another registry": "registry." + "npmjs",
}


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git checkout, so there is no list of tracked files")
    return listed.stdout.split()


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = []
    for name in tracked():
        text = (ROOT / name).read_bytes().decode(errors="replace")
        found += [f"{name}: {what}" for what, words in FORBIDDEN.items() if words in text]
    assert found == []


def test_requirements_are_pinned_with_hashes_and_without_addresses() -> None:
    for name in ("runtime.txt", "dev.txt", "bench.txt"):
        lines = (ROOT / "requirements" / name).read_text().splitlines()
        pins = [line for line in lines if line and not line.startswith((" ", "#"))]
        assert len(pins) > 30
        for pin in pins:
            assert re.fullmatch(r"[A-Za-z0-9._-]+==[^ ]+( ; [^\\]+)? \\", pin), pin
        assert not any("://" in line or line.startswith("-") for line in lines)


def test_no_file_is_past_six_hundred_lines() -> None:
    long = {
        name: count
        for name in tracked()
        if name.endswith(".py") and (count := len((ROOT / name).read_text().splitlines())) > 600
    }
    assert set(long) <= {"tests/contract/test_store.py", "tests/integration/test_api_jobs.py"}, long
