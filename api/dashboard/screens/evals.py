"""Evals: what `rubato eval` found, world by world. It is about the planner, and the same for every tenant."""

import asyncio

from fastapi import Response

from api.dashboard.drawing.evals import WIDTH, read_report, rows_of
from api.dashboard.shell import Viewing, page_router

router = page_router()


@router.get("/evals")
async def index(view: Viewing) -> Response:
    """Show the report, or which command leaves one."""
    raw = await asyncio.to_thread(view.given.evaluation)
    report = await asyncio.to_thread(read_report, raw) if raw is not None else None
    return view.page(
        "evals.html",
        active="Evals",
        is_there=raw is not None,
        report=report,
        rows=rows_of(report) if report else (),
        width=WIDTH,
    )
