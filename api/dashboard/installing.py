"""Puts the dashboard into the app."""

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from api.dashboard.screens import cron, evals, failures, keys, overview, quota, runs, settings, sign_in
from api.dashboard.shell import HERE

SCREENS = (overview, runs, failures, quota, evals, cron, keys, settings, sign_in)


def install(app: FastAPI) -> None:
    """Serve every screen, and the files they load."""
    for screen in SCREENS:
        app.include_router(screen.router)
    app.mount("/dashboard/static", StaticFiles(directory=HERE / "static"), name="static")
