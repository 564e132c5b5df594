"""Secrets that a development start makes for itself and keeps."""

import stat
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from rubato.wiring.secrets import kept_secret


@pytest.fixture
def numbers() -> Iterator[int]:
    return count(1)


def test_it_is_made_once_and_read_by_its_owner_only(tmp_path: Path, numbers: Iterator[int]) -> None:
    path = tmp_path / "data" / "secret"
    assert [kept_secret(path, lambda: f"made {next(numbers)}") for _ in range(3)] == ["made 1"] * 3
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["secret"]


def test_a_process_killed_while_writing_leaves_no_empty_secret(tmp_path: Path) -> None:
    path = tmp_path / "secret"

    def killed() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept_secret(path, killed)
    assert not path.exists()
    assert kept_secret(path, lambda: "whole") == "whole"
    assert [each.name for each in tmp_path.iterdir()] == ["secret"]


def test_of_two_starters_the_first_ones_secret_counts_for_both(tmp_path: Path) -> None:
    path = tmp_path / "secret"

    def overtaken() -> str:
        path.write_text("the other's")
        return "mine"

    assert kept_secret(path, overtaken) == "the other's"
    assert path.read_text() == "the other's"
