"""The final answer of a session: why, how sure, and when to look again even if nothing changes."""

from datetime import timedelta

from core.gate import LONGEST_ANALYSIS
from core.sessions import Conclusion, Verdict
from core.wording import duration
from tools.proposing import clean_text
from tools.workbench import Answer, Workbench

LONGEST_REASONING = 600  # characters
_MS = timedelta(milliseconds=1)


def conclude(bench: Workbench, *, reasoning: str, confidence: float, next_analysis_in_ms: int) -> Answer:
    """End the session with its final answer; what was proposed before stands.

    Args:
        reasoning: Why the tempo is right as it now is, in one or two sentences, at most 600 characters.
        confidence: From 0 (a guess) to 1 (certain).
        next_analysis_in_ms: When to look again even if nothing changes, in milliseconds. A change is seen without it.
    """
    wanted = next_analysis_in_ms * _MS
    held = min(max(wanted, bench.shortest_look), LONGEST_ANALYSIS)
    bench.conclusion = Conclusion(clean_text(reasoning, LONGEST_REASONING), confidence, held)
    if held == wanted:
        return Answer(Verdict.ACCEPTED, "Concluded.")
    limits = f"{duration(bench.shortest_look)} to {duration(LONGEST_ANALYSIS)}"
    return Answer(Verdict.CLAMPED, f"Concluded; the next analysis is held within {limits}.")
