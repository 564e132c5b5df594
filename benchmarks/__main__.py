"""`python -m benchmarks [--write] [--json FILE] [--rounds N] [BAR ...]`: measure, and print bars met and missed."""

import argparse
import importlib
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Figure, markdown, table, to_json
from benchmarks.machine import machine
from benchmarks.measuring import Bench
from benchmarks.process import module, running

BARS = ("throughput", "lateness", "herd", "scaling", "tenants", "claim", "idle", "api", "decide")
PAGE = Path("docs/performance.md")
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def main() -> int:
    """Measure what was asked for. 0, whether or not the bars hold: a figure is no test."""
    if sys.argv[1:] == ["clients"]:  # HTTP clients side by side, for the decision in docs/adr/0006
        print(importlib.import_module("benchmarks.clients").measure())
        return 0
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("bars", nargs="*", metavar="BAR", help=f"of {', '.join(BARS)}; all by default")
    parser.add_argument("--rounds", type=int, default=3, help="how often each thing is measured, taking turns")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE}")
    parser.add_argument("--json", type=Path, default=Path(".rubato/bench.json"), help="where every round is kept")
    asked = parser.parse_args()
    unknown = set(asked.bars) - set(BARS)
    if unknown:
        parser.error(f"no such bar: {', '.join(sorted(unknown))}; there are {', '.join(BARS)}")
    figures: list[Figure] = []
    with machine() as server, running(*module("benchmarks.target")) as target:
        url = f"http://127.0.0.1:{target.first_line()['port']}/"
        bench = Bench(server, target, url, rounds=asked.rounds)
        for name in asked.bars or BARS:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            measured = importlib.import_module(f"benchmarks.bars.{name}").measure(bench)
            print(table(measured), file=sys.stderr, flush=True)
            figures += measured
    print(table(figures))
    missed = [each for each in figures if each.is_met is False]
    met = [each for each in figures if each.is_met]
    print(f"\n{len(met)} bars met, {len(missed)} missed")
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(to_json(figures))
    if asked.write:
        write(PAGE, figures, datetime.now(UTC))
    return 0


def write(page: Path, figures: list[Figure], at: datetime) -> None:
    """Put the table between the page's marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest or not after:
        raise SystemExit(f"{page} has lost its marks {BEGIN} and {END}; put them back.")
    shown = f"{BEGIN}\nMeasured on {at:%Y-%m-%d}.\n\n{markdown(figures)}\n{END}"
    page.write_text(before + shown + after, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
