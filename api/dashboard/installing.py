"""Puts the dashboard into the app."""

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from api.dashboard.screens import (
    actions,
    cron,
    edit,
    evals,
    events,
    failures,
    job,
    keys,
    overview,
    quota,
    rules,
    runs,
    session,
    settings,
    sign_in,
    why,
)
from api.dashboard.shell import HERE

SCREENS = (
    *(overview, job, actions, edit, rules, why, session, events, sign_in),
    *(runs, failures, quota, evals, cron, keys, settings),
)


def install(app: FastAPI) -> None:
    """Serve every screen, and the files they load."""
    for screen in SCREENS:
        app.include_router(screen.router)
    app.mount("/dashboard/static", StaticFiles(directory=HERE / "static"), name="static")
