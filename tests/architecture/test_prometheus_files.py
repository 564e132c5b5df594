"""The files for Prometheus as its own tools read them."""

import subprocess
from pathlib import Path

import pytest

from tests.debian import tool
from tests.processes import ROOT

FILES = ROOT / "deploy/prometheus"
pytestmark = pytest.mark.timeout(700)  # the first one may install the package


def promtool(*args: str, folder: Path = FILES) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [tool("promtool", "prometheus"), *args], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_alert_rules_are_valid() -> None:
    checked = promtool("check", "rules", "alerts.yml")
    assert checked.returncode == 0, checked.stderr
    assert "SUCCESS" in checked.stdout


def test_the_scrape_configuration_is_valid() -> None:
    checked = promtool("check", "config", "prometheus.yml")
    assert checked.returncode == 0, checked.stderr


def test_every_alert_fires_on_its_fault_and_not_on_health() -> None:
    """R53: failure spike, quota overrun, leases, and the rest: rules that promtool tests."""
    tested = promtool("test", "rules", "alerts_test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_a_rule_that_never_fires_is_caught(tmp_path: Path) -> None:
    for name in ("alerts.yml", "alerts_test.yml"):
        (tmp_path / name).write_text(
            (FILES / name).read_text().replace("rubato_jobs_parked) > 0", "rubato_jobs_parked) > 9")
        )
    assert promtool("test", "rules", "alerts_test.yml", folder=tmp_path).returncode != 0


@pytest.mark.parametrize("part", ["summary", "action"])
def test_every_alert_says_what_happened_and_what_to_look_at(part: str) -> None:
    import yaml

    groups = yaml.safe_load((FILES / "alerts.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) >= 16
    assert [rule["alert"] for rule in rules if not rule["annotations"].get(part)] == []
    unit_tested = (FILES / "alerts_test.yml").read_text()
    assert [rule["alert"] for rule in rules if f"alertname: {rule['alert']}\n" not in unit_tested] == []
