"""`rubato eval` on the command line: what is wrong is said in a line, with what to do; what stops early still reports."""

import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from core.errors import ConfigurationError
from evals import command
from evals.suite import Played
from rubato.cli import app
from tests.processes import ROOT, clean_environment

RUNNER = CliRunner()


def test_an_unknown_world_ends_with_the_known_ones_and_exit_code_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rubato", "eval", "--world", "nowhere"],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert 'no world "nowhere"' in done.stdout + done.stderr
    assert "poisson" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (command.Options(policies=("luck",)), 'no policy "luck".*aimd'),
        (command.Options(seeds=31), "--seeds takes 1 to 30"),
    ],
)
def test_wrong_options_are_told(options: command.Options, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        command.evaluate(options, Console(file=StringIO()))


def test_what_was_finished_before_ctrl_c_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    played: list[Played] = []
    whole = command.run_cells

    def interrupted(*args: object) -> object:
        for each in whole(*args):  # type: ignore[arg-type]  # as it was called
            played.append(each)
            yield each
            raise KeyboardInterrupt

    monkeypatch.setattr(command, "run_cells", interrupted)
    out, html = StringIO(), tmp_path / "report.html"
    options = command.Options(
        worlds=("next-update",), policies=("offline",), seeds=3, html=html, json_file=tmp_path / "report.json"
    )
    assert command.evaluate(options, Console(file=out, width=200)) == 130
    assert len(played) == 1
    assert "what was finished is reported" in out.getvalue()
    assert "next-update" in out.getvalue()
    assert "stopped early" in html.read_text()


def test_cases_are_put_to_the_offline_planner_and_all_are_sound() -> None:
    done = RUNNER.invoke(app, ["eval", "cases"])
    assert done.exit_code == 0, done.output
    assert "69 of 69 decisions sound" in done.output
