"""A document that says which test shows what names tests that exist, in every row."""

import ast
import re
from pathlib import Path

import pytest

from tests.processes import ROOT

DOCUMENTS = {"known_bugs.md": 19, "reliability.md": 28, "cron.md": 22}
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


def rows(document: str) -> list[str]:
    """Return the rows of the document's table of tests: the first, or the one under "Shown by"."""
    lines = (ROOT / "docs" / document).read_text().splitlines()
    heading = lines.index("## Shown by") if "## Shown by" in lines else 0
    begin = next(number for number, line in enumerate(lines) if number > heading and line.startswith("|---"))
    end = next((n for n, line in enumerate(lines) if n > begin and not line.startswith("|")), len(lines))
    return lines[begin + 1 : end]


def names_in(path: Path) -> set[str]:
    """Return the names of the tests in a file."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)}


def missing(row: str) -> list[str]:
    """Return the tests that a row names and nobody wrote."""
    return [
        f"{file}::{name}"
        for file, name in NAMED.findall(row)
        if not (ROOT / "tests" / file).is_file() or name not in names_in(ROOT / "tests" / file)
    ]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_row_names_tests_that_exist(document: str) -> None:
    found = rows(document)
    assert len(found) >= DOCUMENTS[document]
    assert [row for row in found if not NAMED.search(row)] == []
    assert [name for row in found for name in missing(row)] == []


def test_a_name_that_nobody_wrote_is_found_out() -> None:
    assert missing("| an event | `unit/test_loop.py::test_nothing_of_the_kind`, `unit/test_none.py::test_x` |") == [
        "unit/test_loop.py::test_nothing_of_the_kind",
        "unit/test_none.py::test_x",
    ]
