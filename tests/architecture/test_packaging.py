"""The wheel, installed in an empty environment, is whole: it starts, serves, and type-checks."""

import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT, call, clean_environment, free_port, running, serves, wait_for

PACKAGES = ("core", "planner", "tools", "api", "worker", "evals", "rubato")


def built(source: Path, out: Path) -> Path:
    """Build a wheel."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=120)
    (made,) = out.glob("*.whl")
    return made


def install(python: Path, wheel: Path) -> None:
    """Install a wheel in an environment, without what it depends on."""
    options = ["--quiet", "--no-deps", "--no-index"]
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", *options, str(wheel)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel."""
    return built(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install it in an empty environment; what it depends on is lent from this one."""
    folder = tmp_path_factory.mktemp("empty")
    folder.chmod(0o755)
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv" / "bin" / "python"
    install(python, wheel)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (site / "lent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder


def environment() -> dict[str, str]:
    return {name: value for name, value in clean_environment().items() if name != "PYTHONPATH"}


def test_the_wheel_holds_every_package_and_its_files(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in PACKAGES:
        assert {f"{package}/__init__.py", f"{package}/py.typed"} <= names
    for file in (
        "planner/prompts/planner.md",
        "api/dashboard/templates/base.html",
        "api/dashboard/static/dashboard.css",
        "rubato/adapters/postgres/migrations/env.py",
        "rubato/adapters/postgres/migrations/versions/0001_first.py",
    ):
        assert file in names
    assert not any(name.startswith(("tests/", "docs/")) for name in names)


def test_generic_names_resolve_to_ours(installed: Path) -> None:
    code = f"import importlib; print(*(importlib.import_module(p).__file__ for p in {PACKAGES!r}))"
    python = str(installed / "venv" / "bin" / "python")
    done = subprocess.run(
        [python, "-c", code], cwd=installed, env=environment(), capture_output=True, text=True, timeout=60, check=True
    )
    assert all(str(installed) in path for path in done.stdout.split())


def test_it_starts_there(installed: Path) -> None:
    port = free_port()
    command = [str(installed / "venv" / "bin" / "rubato"), "dev", "--port", str(port), "--no-demo"]
    env = {**environment(), "RUBATO_DATA_DIR": str(installed / "data")}
    env.pop("PYTHONPATH", None)
    with running(command, installed / "dev.log", {**env, "PYTHONPATH": ""}, installed) as process:
        url = f"http://127.0.0.1:{port}"
        wait_for("the API of the installed wheel", serves(f"{url}/readyz"), within_s=60)
        assert call("GET", f"{url}/api/v1/health").body["status"] == "ok"
        assert process.stop() == 0, process.output()


def test_it_type_checks_there(installed: Path) -> None:
    script = installed / "uses.py"
    script.write_text("from core.governor import decide\nfrom tools.workbench import Workbench\nreveal_type(decide)\n")
    python = str(installed / "venv" / "bin" / "python")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--python-executable",
            python,
            "--cache-dir",
            str(installed / "cache"),
            str(script),
        ],
        cwd=installed,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "core.entities.Decision" in done.stdout


def test_a_package_of_targets_installed_beside_it_is_found_and_its_target_run(
    installed: Path, database_url: str, tmp_path: Path
) -> None:
    source = tmp_path / "disk-space"
    shutil.copytree(ROOT / "examples" / "disk-space", source)
    install(installed / "venv" / "bin" / "python", built(source, tmp_path / "dist"))
    url = f"http://127.0.0.1:{(port := free_port())}"
    key = "cron_packaging_0123456789abcdefghijklmnopqrstuvwxyz"
    env = {
        **environment(),
        "PYTHONPATH": "",
        "DATABASE_URL": database_url,
        "PORT": str(port),
        "RUBATO_WORKER_PORT": str(free_port()),
        "RUBATO_BOOTSTRAP_API_KEY": key,
        "RUBATO_PLANNER": "off",
        "RUBATO_DATA_DIR": str(tmp_path / "data"),
    }
    rubato = str(installed / "venv" / "bin" / "rubato")
    admin = f"{url}/api/v2/admin/cron"
    with (
        running([rubato, "api"], tmp_path / "api.log", env, tmp_path),
        running([rubato, "worker"], tmp_path / "worker.log", env, tmp_path) as worker,
    ):
        wait_for("the API of the installed wheel", serves(f"{url}/readyz"), within_s=60)
        listed = call("GET", f"{admin}/targets", key=key).body["data"]
        assert [each["target"] for each in listed] == ["checks.disk_space", "system.log_message"]
        body = {
            "key": "room",
            "target": "checks.disk_space",
            "payload": {"free_percent": 0},
            "baselineCron": "0 0 1 1 *",
        }
        job = call("POST", f"{admin}/jobs", body, key=key).body
        run = call("POST", f"{admin}/jobs/{job['id']}/run-now", key=key).body

        def ended() -> Any:
            found = call("GET", f"{admin}/runs/{run['id']}", key=key).body
            return found if found["finishedAt"] else None

        done = wait_for("the run's end", ended, within_s=30)
        assert (done["status"], done["errorMessage"]) == ("succeeded", None), worker.output()
        assert "free_percent" in done["responseExcerpt"]
