"""`python -m benchmarks [--write] [--rounds N] [BAR ...]`: measure, and print bars met and missed."""

import argparse
import importlib
import sys
from pathlib import Path

from benchmarks.figures import Figure, table
from benchmarks.kept import Kept
from benchmarks.machine import machine
from benchmarks.measuring import Bench
from benchmarks.process import module, running

BARS = ("throughput", "lateness", "herd", "scaling", "tenants", "claim", "growth", "idle", "api", "planning", "decide")
PAGE = Path("docs/performance.md")


def main() -> int:
    """Measure what was asked for. 0, whether or not the bars hold: a figure is no test."""
    if sys.argv[1:] == ["clients"]:  # HTTP clients side by side, for the decision in docs/adr/0006
        print(importlib.import_module("benchmarks.clients").measure())
        return 0
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("bars", nargs="*", metavar="BAR", help=f"of {', '.join(BARS)}; all by default; or `profile`")
    parser.add_argument("--rounds", type=int, default=3, help="how often each thing is measured, taking turns")
    parser.add_argument("--write", action="store_true", help=f"put what was measured last into {PAGE}")
    parser.add_argument("--json", type=Path, default=Path(".rubato/bench.json"), help="where every round is kept")
    asked = parser.parse_args()
    unknown = set(asked.bars) - {*BARS, "profile"}
    if unknown:
        parser.error(f"no such bar: {', '.join(sorted(unknown))}; there are {', '.join(BARS)}")
    kept, figures = Kept(asked.json), []
    with machine() as server, running(*module("benchmarks.target")) as target:
        url = f"http://127.0.0.1:{target.first_line()['port']}/"
        bench = Bench(server, target, url, rounds=asked.rounds)
        for name in asked.bars or BARS:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            if name == "profile":
                print(importlib.import_module("benchmarks.profile").report(bench))
                continue
            measured: list[Figure] = importlib.import_module(f"benchmarks.bars.{name}").measure(bench)
            print(table(measured), file=sys.stderr, flush=True)
            kept.put(name, measured)
            figures += measured
    if figures:
        print(table(figures))
        verdicts = [each.is_met for each in figures]
        print(f"\n{verdicts.count(True)} bars met, {verdicts.count(False)} missed")
    if asked.write:
        kept.write(PAGE, BARS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
