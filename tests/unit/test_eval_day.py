"""The virtual day: repeatable, and what it counts is right."""

from evals.day import compare, render


async def test_the_same_days_give_the_same_scores_and_the_baseline_its_grid() -> None:
    first, second = await compare(2), await compare(2)
    assert first == second
    baseline, adaptive = first
    assert 40 <= baseline.requests < 60  # a grid of 60 slots, less those left out after failures
    assert baseline.mean_delay_s > adaptive.mean_delay_s > 0
    assert adaptive.requests != baseline.requests
    assert adaptive.during_maintenance < baseline.during_maintenance
    assert "offline planner" in render(first, 2)
