"""The first screen: what is late, what fails, what the planner changes, what budget is left; and a row a job."""

from fastapi import Response

from api.dashboard.shell import Viewing, page_router

router = page_router()


@router.get("/")
async def overview(view: Viewing) -> Response:
    """Show the tenant's jobs."""
    return view.page("overview.html", active="Overview")
