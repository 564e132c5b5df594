"""A release: one version, from pyproject.toml, everywhere it is named; and a list of what it is made of."""

import json
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

from tests.processes import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION = PROJECT["version"]


@pytest.mark.parametrize("field", ["version", "appVersion"])
def test_the_chart_is_of_this_version(field: str) -> None:
    assert yaml.safe_load((ROOT / "deploy/helm/rubato/Chart.yaml").read_text())[field] == VERSION


@pytest.mark.parametrize("path", ["deploy/kubernetes/rubato.yaml", "deploy/helm/rubato/values.yaml"])
def test_images_are_of_this_version(path: str) -> None:
    tags = re.findall(r"(?:image: rubato:|^\s+tag: )(\S+)", (ROOT / path).read_text(), re.MULTILINE)
    assert tags
    assert set(tags) == {VERSION}


def test_the_changelog_begins_with_this_version() -> None:
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first is not None
    assert first[1] == VERSION


def test_no_code_names_a_version_of_its_own() -> None:
    folders = ("core", "planner", "tools", "api", "worker", "evals", "rubato")
    naming = re.compile(rf"""["']{re.escape(VERSION)}["']|__version__""")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py") if naming.search(path.read_text())]
    assert found == []


def test_the_bill_of_materials_lists_every_pinned_requirement_with_its_hash() -> None:
    command = ["requirements", "requirements/runtime.txt", "--pyproject", "pyproject.toml", "--output-reproducible"]
    made = subprocess.run(
        [sys.executable, "-m", "cyclonedx_py", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=90,
    )
    bill = json.loads(made.stdout)
    assert (bill["metadata"]["component"]["name"], bill["metadata"]["component"]["version"]) == (
        PROJECT["name"],
        VERSION,
    )
    listed = {each["name"].lower(): each for each in bill["components"]}
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements/runtime.txt").read_text(), re.MULTILINE))
    assert {name: listed[name]["version"] for name in pinned} == pinned
    assert all(reference["hashes"] for each in listed.values() for reference in each["externalReferences"])
