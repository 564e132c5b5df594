"""The committed baseline: what the planner reached, and whether it still does.

A regression is a figure whose interval lies wholly above the baseline's: beyond chance, not beyond a digit. The same
seeds give the same figures, so an unchanged planner repeats its baseline to the last digit.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.errors import ConfigurationError
from evals.suite import OFFLINE
from evals.summary import WorldSummary

FILE = Path(__file__).with_name("baseline.json")
TOLERANCE = 0.002  # of J: floating point differs between machines


def figures(worlds: Sequence[WorldSummary], policy: str = OFFLINE) -> dict[str, Any]:
    """Return what is kept of a report."""
    return {
        world.name: {
            "seeds": world.seeds,
            "against_fixed": asdict(each.against_fixed),
            "violations": asdict(each.figures["violations"]),
        }
        for world in worlds
        if (each := world.policies.get(policy)) is not None
    }


def write(worlds: Sequence[WorldSummary], path: Path = FILE) -> None:
    """Make these figures the baseline."""
    path.write_text(json.dumps(figures(worlds), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def regressions(worlds: Sequence[WorldSummary], path: Path = FILE) -> list[str]:
    """Say what is worse than the baseline beyond chance, a sentence each; and what is missing from either."""
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: {error}. Write one with --write-baseline.") from error
    present = figures(worlds)
    found = [f"{name}: in the baseline, not in this report" for name in sorted(before.keys() - present.keys())]
    for name, now in present.items():
        if name not in before:
            found.append(f"{name}: not in the baseline; write it anew with --write-baseline")
            continue
        for figure in ("against_fixed", "violations"):
            was, present_is = before[name][figure], now[figure]
            if present_is["low"] > was["high"] + TOLERANCE:
                found.append(
                    f"{name}: {figure.replace('_', ' ')} {present_is['mean']:+.3f} "
                    f"[{present_is['low']:+.3f}, {present_is['high']:+.3f}], baseline {was['mean']:+.3f} "
                    f"[{was['low']:+.3f}, {was['high']:+.3f}]"
                )
    return found
