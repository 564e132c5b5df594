"""Reads the small part of Helm's template language that our chart keeps to, and refuses the rest.

No package of the registries we use brings helm itself; a construct that is not known here fails the test, so that the
chart cannot come to depend on something nobody has rendered.
"""

import json
import re
from pathlib import Path
from typing import Any

import yaml

_ACTION = re.compile(r"\{\{(-?)\s*(.*?)\s*(-?)\}\}", re.DOTALL)


class UnknownConstructError(Exception):
    """The chart uses what this reader does not know."""


def render(chart: Path, release: str, values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the objects of a chart, as `helm template RELEASE CHART` would print them."""
    given = _merged(yaml.safe_load((chart / "values.yaml").read_text()), values or {})
    scope = {"Values": given, "Release": {"Name": release}}
    found = []
    for file in sorted((chart / "templates").glob("*.yaml")):
        found += [each for each in yaml.safe_load_all(_rendered(file.read_text(), scope)) if each]
    return found


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    return {
        **base,
        **{
            name: _merged(base[name], value) if isinstance(value, dict) and isinstance(base.get(name), dict) else value
            for name, value in over.items()
        },
    }


def _rendered(text: str, scope: dict[str, Any]) -> str:
    out: list[str] = []
    shown = [True]
    at, trims = 0, False
    for action in _ACTION.finditer(text):
        before = text[at : action.start()]
        before = before.lstrip() if trims else before
        before = before.rstrip() if action[1] else before
        out.append(before if all(shown) else "")
        at, trims = action.end(), bool(action[3])
        words = action[2].split()
        if words[0] == "if":
            is_not = words[1] == "not"
            shown.append(bool(_value(" ".join(words[2 if is_not else 1 :]), scope)) is not is_not)
        elif words == ["end"]:
            shown.pop()
        elif all(shown):
            out.append(_piped(action[2], scope))
    if shown != [True]:
        raise UnknownConstructError("an if without an end")
    return "".join(out) + (text[at:].lstrip() if trims else text[at:])


def _piped(expression: str, scope: dict[str, Any]) -> str:
    first, *pipes = [part.strip() for part in expression.split("|")]
    value = _value(first, scope)
    for pipe in pipes:
        if pipe == "quote":
            value = json.dumps(str(value))
        elif match := re.fullmatch(r"nindent (\d+)", pipe):
            value = "\n" + "\n".join(" " * int(match[1]) + line for line in str(value).splitlines())
        else:
            raise UnknownConstructError(pipe)
    return str(value)


def _value(term: str, scope: dict[str, Any]) -> Any:
    if term.startswith("toYaml "):
        return yaml.safe_dump(_value(term.removeprefix("toYaml "), scope), sort_keys=False).rstrip("\n")
    if not re.fullmatch(r"(\.\w+)+", term):
        raise UnknownConstructError(term)
    found: Any = scope
    for name in term[1:].split("."):
        found = found[name]  # a name that is not among the values is a mistake of the chart
    return found
