"""What is rendered from the code is what stands in the docs."""

import re

import pytest

from core.entities import HintState, JobStatus, RunStatus
from core.errors import Conflict
from core.transitions import HINT, JOB, RUN, after_run_event, render
from rubato.settings import Settings, render_table
from tests.processes import ROOT


def test_the_state_machine_in_the_docs_is_the_one_in_the_code() -> None:
    assert (ROOT / "docs" / "state_machine.md").read_text() == render()


def test_the_configuration_in_the_docs_is_the_one_in_the_code() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == render_table()


def test_the_example_environment_names_every_setting_and_no_other() -> None:
    named = re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE)
    assert sorted(named) == sorted(str(field.alias) for field in Settings.model_fields.values())


def test_every_state_stands_in_its_table() -> None:
    for table, states in ((JOB, JobStatus), (RUN, RunStatus)):
        assert {state for state, _ in table} | set(table.values()) == set(states)
    assert {state for state, _ in HINT} == {HintState.ACTIVE}


def test_a_step_that_is_not_in_the_table_is_refused() -> None:
    assert after_run_event(RunStatus.CLAIMED, "send") is RunStatus.RUNNING
    with pytest.raises(Conflict, match="cannot send"):
        after_run_event(RunStatus.SUCCEEDED, "send")


def test_the_documents_that_the_readme_names_exist() -> None:
    named = re.findall(r"docs/[\w/.-]+\.md|[A-Z]+\.md", (ROOT / "README.md").read_text())
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
