"""`python -m tests.simulation`: play seeds and print the ledger, or one seed with its trace."""

import argparse
import sys
import time

from tests.simulation.invariants import Violation
from tests.simulation.sweep import Ledger, sweep
from tests.simulation.world import play

SHOWN = 10  # seeds whose first violation is printed
ABOUT_CHARS = 400
_ROWS = (
    ("runs begun", "runs"),
    ("requests", "requests"),
    ("claims", "claim"),
    ("decisions", "decisions"),
    ("deeds of users", "deeds"),
    ("hints", "hints"),
    ("crashes", "crashes"),
    ("freezes", "freezes"),
    ("outages", "outages"),
    ("workers cut off", "cuts"),
    ("stops in good order", "stops"),
    ("taken over", "taken over"),
    ("attempts lost", "lost"),
    ("answers discarded", "discarded"),
)


def main() -> int:
    """Return 1 when an invariant did not hold."""
    parser = argparse.ArgumentParser(prog="make simulate")
    parser.add_argument("--seeds", type=int, default=10_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="play this one only")
    parser.add_argument("--trace", action="store_true", help="print everything that happened")
    parser.add_argument("--processes", type=int, help="default: one a core")
    wanted = parser.parse_args()
    if wanted.seed is not None:
        return _one(wanted.seed, trace=wanted.trace)
    return _many(range(wanted.first, wanted.first + wanted.seeds), wanted.processes)


def _one(seed: int, *, trace: bool) -> int:
    outcome = play(seed)
    for at_s, *words in outcome.trace if trace else ():
        _say(f"{at_s:11.6f}  {' '.join(map(str, words))}")
    for violation in outcome.violations:
        _say(f"seed {seed} at {violation.at_s:.6f} s: {violation.name}: {violation.about}")
    _say(
        f"seed {seed}: {outcome.virtual_s:.1f} s played, digest {outcome.digest}, {len(outcome.violations)} violations"
    )
    return 1 if outcome.violations else 0


def _many(seeds: range, processes: int | None) -> int:
    began = time.monotonic()

    def progress(ledger: Ledger) -> None:
        took = time.monotonic() - began
        sys.stderr.write(f"\r{ledger.seeds} of {len(seeds)} seeds, {len(ledger.violations)} violations, {took:.0f} s ")
        sys.stderr.flush()

    ledger = sweep(seeds, processes=processes, progress=progress)
    sys.stderr.write("\n")
    for seed, violation in _firsts(ledger)[:SHOWN]:
        _say(f"seed {seed} at {violation.at_s:.6f} s: {violation.name}: {violation.about[:ABOUT_CHARS]}")
        _say(f'  play it again: make simulate ARGS="--seed {seed} --trace"')
    _say(f"{'seeds':22}{ledger.seeds:>12,}")
    _say(f"{'virtual hours':22}{ledger.virtual_s / 3600:>12,.1f}")
    for name, key in _ROWS:
        _say(f"{name:22}{ledger.counts[key]:>12,}")
    _say(f"{'violations':22}{len(ledger.violations):>12,}")
    _say(f"{'seconds':22}{time.monotonic() - began:>12,.1f}")
    return 1 if ledger.violations else 0


def _firsts(ledger: Ledger) -> list[tuple[int, Violation]]:
    """Return the first violation of each seed."""
    return list({seed: (seed, violation) for seed, violation in reversed(ledger.violations)}.values())[::-1]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
