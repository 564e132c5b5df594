"""Where a process reports its errors."""

from rubato.settings import Settings


def report_errors(settings: Settings, process: str) -> None:
    """Report this process's errors, if the settings say where to. Raises ConfigurationError."""
    if settings.sentry_dsn is not None:
        from rubato.adapters import sentry  # it takes a tenth of a second to import, and most do without

        sentry.report_errors(settings.sentry_dsn.get_secret_value(), environment=settings.environment, process=process)
