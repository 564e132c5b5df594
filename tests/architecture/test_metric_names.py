"""Every metric that docs, dashboard and alerts name is served, under its labels; and every one served is documented."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prometheus_client.registry import CollectorRegistry

from rubato.adapters.telemetry import Telemetry
from tests.processes import ROOT
from tests.unit.fakes import FakeClock

ROW = re.compile(r"^\| `(rubato_\w+)` \| (counter|gauge|histogram)(, installation)? \|([\w, ]*)\|", re.MULTILINE)
SELECTOR = re.compile(r"\b(rubato_\w+)(?:\{([^}]*)\})?")
GROUPED = re.compile(r"\bby \(([\w, ]+)\)")
OF_EVERY_TARGET = {"job", "instance", "le"}  # labels that Prometheus itself adds


def served() -> dict[str, tuple[str, set[str]]]:
    """Return what a process serves: name -> (type, labels), a histogram under its own name."""
    registry: CollectorRegistry = Telemetry(FakeClock()).registry
    found = {}
    for collector in {id(each): each for each in registry._names_to_collectors.values()}.values():
        for family in collector.describe():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found[name] = (family.type, set(getattr(collector, "_labelnames", ())))
    return found


def series() -> dict[str, set[str]]:
    """Return every name that a query may select, with its labels."""
    found = {}
    for name, (kind, labels) in served().items():
        suffixes = ("_bucket", "_count", "_sum") if kind == "histogram" else ("",)
        found.update({name + suffix: labels | OF_EVERY_TARGET for suffix in suffixes})
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Return where each query stands, and the query."""
    for group in yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    dashboard: dict[str, Any] = json.loads((ROOT / "deploy/grafana/rubato.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        yield variable["name"], variable["query"]


def test_the_documented_metrics_are_those_that_are_served() -> None:
    rows = ROW.findall((ROOT / "docs/metrics.md").read_text())
    documented = {name: (kind, set(labels.replace(",", " ").split())) for name, kind, _, labels in rows}
    assert documented == served()


@pytest.mark.parametrize(("where", "expression"), list(expressions()), ids=lambda value: value[:40])
def test_a_query_selects_what_is_served_by_labels_it_has(where: str, expression: str) -> None:
    """R49: Grafana JSON whose every metric exists in `/metrics`."""
    known, labels_of_all = series(), set()
    for name, matchers in SELECTOR.findall(expression):
        assert name in known, f"{where}: {name}"
        asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        assert asked <= known[name], f"{where}: {name}"
        labels_of_all |= known[name]
    for grouped in GROUPED.findall(expression):
        assert set(grouped.replace(",", " ").split()) <= labels_of_all, where


def test_every_metric_stands_on_the_dashboard() -> None:
    shown = " ".join(expression for _, expression in expressions())
    assert [name for name in served() if name not in shown] == []


def test_panels_do_not_overlap_and_have_an_id_of_their_own() -> None:
    panels = json.loads((ROOT / "deploy/grafana/rubato.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
