"""Composition: the only place that knows every adapter. Only the command line and its errands import it."""

from rubato.wiring.processes import (
    DevOptions,
    report_errors,
    run_api,
    run_demo_target,
    run_dev,
    run_migrations,
    run_worker,
)
from rubato.wiring.secrets import encryption_key, kept_secret, pepper_of, vault_of
from rubato.wiring.shared import core, database, database_url, reached

__all__ = [
    "DevOptions",
    "core",
    "database",
    "database_url",
    "encryption_key",
    "kept_secret",
    "pepper_of",
    "reached",
    "report_errors",
    "run_api",
    "run_demo_target",
    "run_dev",
    "run_migrations",
    "run_worker",
    "vault_of",
]
