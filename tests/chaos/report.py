"""The ledger as a table for people."""

from collections import Counter
from collections.abc import Iterable, Sequence

from tests.chaos.analysis import Judgement, percentile
from tests.chaos.director import Outcome
from tests.chaos.workers import LEASE_S

RECOVERY_BAR_S = LEASE_S + 2.0
SHOWN = 5  # of each kind of finding


def table(rows: Iterable[tuple[str, object, str]]) -> str:
    """Lay out what, how much and a remark."""
    made = [(what, f"{value}", remark) for what, value, remark in rows]
    widths = [max(len(row[column]) for row in made) for column in (0, 1)]
    return "\n".join(f"  {what:<{widths[0]}}  {value:>{widths[1]}}  {remark}".rstrip() for what, value, remark in made)


def chaos_report(outcome: Outcome, told: Judgement) -> str:
    """Render a chaos run: its faults, its ledger, its findings."""
    faults = ", ".join(f"{count} x {kind}" for kind, count in sorted(outcome.faults.items()))
    refused = sum(count for name, count in outcome.logged.items() if name.startswith("stale write refused"))
    recovery = told.recovery_s
    rows = [
        ("faults", faults or "none", ""),
        ("requests sent", told.sent, "by the target's own ledger"),
        ("slots due", told.due, "by arithmetic on the grids"),
        ("committed", told.committed, f"and {told.failed} failed, {told.unknown} unknown"),
        ("skipped, with a reason", told.skipped, "slots that passed during a run or a lease that ran out"),
        ("lost", len(told.lost), "bar: 0"),
        ("doubled", told.doubled, f"bar: <= {told.open_at_faults} sent and not committed at a fault"),
        ("doubled without such a cause", len(told.unexplained), "bar: 0"),
        ("at most once, sent twice", len(told.twice_at_most_once), "bar: 0"),
        ("sent on waking", told.sent_on_waking, "of the doubled: marked before a stop, written after it"),
        ("stale writes accepted", len(told.stale) + len(told.changed), "bar: 0"),
        ("stale writes refused", refused, f"said by workers; {told.discarded} answers kept as discarded"),
        ("before their slot", len(told.early), "bar: 0"),
        ("taken over", told.taken_over, "runs that were sent again, or became unknown"),
        ("jobs set aside", told.parked, "a run of each was sent four times, and no worker lived to record it"),
        ("recovery p50", f"{percentile(recovery, 0.5):.2f} s", f"of {len(recovery)} runs held at a kill"),
        ("recovery p99", f"{percentile(recovery, 0.99):.2f} s", f"bar: <= {RECOVERY_BAR_S:g} s"),
        ("recovery worst", f"{max(recovery, default=0.0):.2f} s", ""),
        (
            "all handled after",
            "never" if outcome.quiet_s is None else f"{outcome.quiet_s:.1f} s",
            "from the last fault",
        ),
        ("oldest transaction seen", f"{outcome.oldest_transaction[0]:.1f} s", outcome.oldest_transaction[1]),
        ("took", f"{outcome.took_s:.0f} s", ""),
    ]
    return "\n".join([table(rows), *_logged(outcome), *_findings(told, outcome)])


def is_good(outcome: Outcome, told: Judgement) -> bool:
    """Tell whether every bar but that of recovery holds."""
    return not told.findings and not outcome.surprises and outcome.quiet_s is not None


def total_report(total: Counter[str], recovery_s: Sequence[float]) -> str:
    """Render the sum of several runs."""
    rows: list[tuple[str, object, str]] = [(what, count, "") for what, count in total.items()]
    rows += [
        ("recovery p50", f"{percentile(recovery_s, 0.5):.2f} s", f"of {len(recovery_s)} runs held at a kill"),
        ("recovery p99", f"{percentile(recovery_s, 0.99):.2f} s", f"bar: <= {RECOVERY_BAR_S:g} s"),
    ]
    return "  in all\n" + table(rows)


def _logged(outcome: Outcome) -> list[str]:
    if not outcome.logged:
        return []
    return ["", "  workers warned of:", *(f"  {count:6}  {what}" for what, count in outcome.logged.most_common(15))]


def _findings(told: Judgement, outcome: Outcome) -> list[str]:
    lines = []
    for name, items in {**told.findings, "surprises": outcome.surprises}.items():
        if items:
            lines += ["", f"  {name}: {len(items)}", *(f"    {item}" for item in items[:SHOWN])]
    return lines
