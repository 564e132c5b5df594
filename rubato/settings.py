"""The environment, read here and nowhere else.

Each setting says its variable, its unit and its default; `rubato config check` prints every value with its source, and
docs/configuration.md is rendered from this file.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from core.errors import ConfigurationError

SHORTEST_SECRET = 32  # characters, outside development
PREFIX = "RUBATO_"


def _words(value: Any) -> Any:
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def _prices(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found: dict[str, tuple[float, float]] = {}
    for entry in _words(value):
        model, _, price = entry.rpartition("=")
        try:
            read, written = (float(each) for each in price.split("/"))
        except ValueError:
            raise ValueError(f"`{entry}` does not look like model=0.25/2") from None
        if not model.strip() or not (0 <= read < 1e6 and 0 <= written < 1e6):
            raise ValueError(f"`{entry}` names no model, or a price below 0")
        found[model.strip()] = read, written
    return found


Prices = Annotated[dict[str, tuple[float, float]], BeforeValidator(_prices)]
Words = Annotated[list[str], BeforeValidator(_words)]


class Settings(BaseModel):
    """Every setting. Names of fields are ours; aliases are the variables."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False)

    database_url: SecretStr | None = Field(
        None,
        alias="DATABASE_URL",
        description="PostgreSQL 15 or newer: `postgresql://user:password@host:5432/database`. "
        "`rubato dev` starts its own server without it.",
    )
    direct_url: SecretStr | None = Field(
        None,
        alias="RUBATO_DIRECT_DATABASE_URL",
        description="The same database past a pooler that hands connections around by transaction (pgbouncer), for "
        "migrations and wake-ups. Once it is set, `DATABASE_URL` is taken to be the pooler's address (docs/scale.md).",
    )
    port: int = Field(3000, ge=1, le=65535, alias="PORT", description="Port of the API and the dashboard.")
    url: str | None = Field(
        None,
        alias="RUBATO_URL",
        description="The service that commands and the MCP server speak to; this machine's `PORT` unless set.",
    )
    api_key: SecretStr | None = Field(
        None,
        alias="RUBATO_API_KEY",
        description="The key that they send; on this machine the one that `rubato dev` keeps, unless set.",
    )
    host: str = Field("127.0.0.1", alias="RUBATO_HOST", description="Address that API and worker listen on.")
    environment: Literal["development", "staging", "production"] = Field(
        "development", alias="RUBATO_ENV", description="Outside `development` secrets must be set."
    )
    public_url: str | None = Field(
        None, alias="RUBATO_PUBLIC_URL", description="Where users reach the API, such as `https://rubato.example.com`."
    )
    cors_origins: Words = Field(
        default_factory=list,
        alias="RUBATO_CORS_ORIGINS",
        description="Origins that may call the API from a browser, separated by commas.",
    )
    secret: SecretStr | None = Field(
        None,
        alias="RUBATO_SECRET",
        description=f"Keys are hashed under it; {SHORTEST_SECRET} characters or more. The API needs it "
        "outside development.",
    )
    data_dir: Path = Field(
        Path(".rubato"),
        alias="RUBATO_DATA_DIR",
        description="Where `rubato dev` keeps its database and keys, and `rubato eval` its report.",
    )
    bootstrap_api_key: SecretStr | None = Field(
        None,
        alias="RUBATO_BOOTSTRAP_API_KEY",
        description="Creates a tenant, an admin user and this API key at the API's start, if the key is new.",
    )
    operator_api_key: SecretStr | None = Field(
        None,
        alias="RUBATO_OPERATOR_API_KEY",
        description="Creates an admin of the tenant `system` and this API key at the API's start, if the key is new: "
        "its holder sees and runs Rubato's own maintenance.",
    )
    api_key_prefix: str = Field(
        "cron_",
        pattern=r"^[a-z][a-z0-9]{1,15}_$",
        alias="RUBATO_API_KEY_PREFIX",
        description="What new API keys begin with, so that a leaked one is known for what it is.",
    )
    encryption_keys: SecretStr | None = Field(
        None,
        alias="RUBATO_ENCRYPTION_KEYS",
        description="Fernet keys for jobs' secrets, separated by commas; the first encrypts, all decrypt. API and "
        "worker need them outside development.",
    )
    github_client_id: str | None = Field(
        None, alias="GITHUB_CLIENT_ID", description="Of the OAuth app that people sign in with; none: no sign-in."
    )
    github_client_secret: SecretStr | None = Field(
        None, alias="GITHUB_CLIENT_SECRET", description="Of the same OAuth app."
    )
    github_allow: Words = Field(
        default_factory=list,
        alias="RUBATO_GITHUB_ALLOW",
        description="Who may sign in: logins, `id:NUMBER`, `org:NAME`, or `*` for everybody, separated by commas.",
    )
    github_url: str = Field(
        "https://github.com",
        pattern=r"^https?://[^/]+/?$",
        alias="RUBATO_GITHUB_URL",
        description="Another address for GitHub Enterprise.",
    )
    planner: Literal["auto", "off", "offline", "llm"] = Field(
        "auto",
        alias="RUBATO_PLANNER",
        description="`auto`: a model if OPENAI_API_KEY is set, else the offline planner.",
    )
    model: str = Field("gpt-5-mini", min_length=1, alias="RUBATO_MODEL", description="The model's name at its server.")
    openai_api_key: SecretStr | None = Field(
        None, alias="OPENAI_API_KEY", description="Key of any OpenAI-compatible server."
    )
    openai_base_url: str | None = Field(
        None, alias="OPENAI_BASE_URL", description="Address of an OpenAI-compatible server, with its `/v1`."
    )
    prices: Prices = Field(
        default_factory=dict,
        alias="RUBATO_PRICES",
        description="US dollars for a million tokens read and written, by model: `gpt-5-mini=0.25/2, other=1/4`. "
        "A model that is not listed costs an unknown amount, not nothing.",
    )
    egress_allow: Words = Field(
        default_factory=list,
        alias="RUBATO_EGRESS_ALLOW",
        description="Non-public targets that jobs may call: networks, addresses, host names or `loopback`, "
        "separated by commas.",
    )
    targets: Words = Field(
        default_factory=list,
        alias="RUBATO_TARGETS",
        description="Modules whose targets jobs may call, separated by commas; installed packages announce theirs by "
        "themselves (docs/cron.md). API and worker need the same.",
    )
    batch_size: int = Field(200, ge=1, le=5000, alias="BATCH_SIZE", description="Runs in flight in one worker.")
    host_in_flight: int = Field(
        100,
        ge=1,
        le=5000,
        alias="RUBATO_HOST_IN_FLIGHT",
        description="Requests that one worker has out to one host at once; what is due beyond them waits.",
    )
    claiming: Literal["locks", "buckets"] = Field(
        "locks",
        alias="RUBATO_CLAIMING",
        description="How workers share what is due. `locks`: rows that another one locks are passed over. `buckets`: "
        "each claims from buckets of its own, by compare-and-set; for engines on which the former is weak "
        "(docs/scale.md).",
    )
    poll_interval_ms: int = Field(
        5000,
        ge=50,
        le=60_000,
        alias="POLL_INTERVAL_MS",
        description="The longest a worker waits before it looks again.",
    )
    lock_ttl_ms: int = Field(
        60_000,
        ge=10_000,
        le=3_600_000,
        alias="LOCK_TTL_MS",
        description="A worker's lease on a run, renewed at a quarter.",
    )
    misfire_grace_ms: int = Field(
        60_000,
        ge=1_000,
        le=86_400_000,
        alias="RUBATO_MISFIRE_GRACE_MS",
        description="A slot later than this was missed; the job's `catchup` decides.",
    )
    min_interval_ms: int = Field(
        1000,
        ge=1,
        le=86_400_000,
        alias="RUBATO_MIN_INTERVAL_MS",
        description="The operator's minimum between two runs of a job, whatever the job says.",
    )
    database_wait_ms: int = Field(
        30_000,
        ge=0,
        le=3_600_000,
        alias="RUBATO_DATABASE_WAIT_MS",
        description="How long a start waits for the database.",
    )
    worker_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        alias="RUBATO_WORKER_PORT",
        description="Port of the worker's health and metrics; 3001, or a free one if that is taken.",
    )
    metrics_public: bool = Field(
        False, alias="RUBATO_METRICS_PUBLIC", description="Serve /metrics to anybody, not to loopback only."
    )
    sentry_dsn: SecretStr | None = Field(
        None,
        alias="SENTRY_DSN",
        description="Where errors are reported to, a server that speaks Sentry's protocol; without it nowhere.",
    )
    log_format: Literal["auto", "json", "human"] = Field(
        "auto", alias="RUBATO_LOG_FORMAT", description="`auto`: JSON outside development."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", alias="RUBATO_LOG_LEVEL", description="The least that is logged."
    )
    otlp_endpoint: str | None = Field(
        None,
        alias="RUBATO_OTLP_ENDPOINT",
        pattern=r"^https?://[^\s/@]+(/\S*)?$",
        description="Collector for traces over OTLP and HTTP, such as `http://127.0.0.1:4318`. Unset: no tracing.",
    )
    trace_ratio: float = Field(
        1.0, ge=0, le=1, alias="RUBATO_TRACE_RATIO", description="Share of runs that are traced, the same everywhere."
    )
    trace_content: bool = Field(
        False,
        alias="RUBATO_TRACE_CONTENT",
        description="Put prompts, answers and tool arguments of planner sessions into their spans.",
    )
    smtp_url: SecretStr | None = Field(
        None,
        alias="RUBATO_SMTP_URL",
        description="Mail server for notices: `smtp://user:password@host:587`, or `smtps://` for TLS from the start.",
    )
    smtp_from: str | None = Field(
        None, alias="RUBATO_SMTP_FROM", description="Address that notices by e-mail come from."
    )

    def secrets(self) -> list[str]:
        """Return the values of every secret that is set, for hiding them."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings and where each came from, by variable: `environment`, `.env`, `file NAME` or `default`."""

    settings: Settings
    sources: Mapping[str, str]


def load(environ: Mapping[str, str] | None = None, *, dotenv: Path = Path(".env")) -> Loaded:
    """Read the environment over `.env`. An empty value counts as none.

    Raises ConfigurationError naming the variable and the remedy.
    """
    environ = os.environ if environ is None else environ
    known = {str(field.alias): field for field in Settings.model_fields.values()}
    given: dict[str, tuple[str, str]] = {}
    layers = ((".env", dotenv_values(dotenv) if dotenv.is_file() else {}), ("environment", environ))
    for source, layer in layers:
        for name, value in layer.items():
            if name in known and value:
                given[name] = (value, source)
            elif _is_file_of(name, known) and value:
                given[name.removesuffix("_FILE")] = (_read_file(name, value), f"file {value}")
            elif name.startswith(PREFIX) and name not in known and not _is_file_of(name, known):
                raise ConfigurationError(f"{name} is not a setting. {_nearest(name, known)}")
    try:
        settings = Settings.model_validate({name: value for name, (value, _) in given.items()})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0])
        raise ConfigurationError(f"{name}: {first['msg']}. {known[name].description}") from None
    _check(settings)
    return Loaded(settings, {name: given[name][1] if name in given else "default" for name in known})


def render_table() -> str:
    """Return docs/configuration.md."""
    lines = [
        "# Configuration",
        "",
        "Every setting is an environment variable; a `.env` file in the working folder is read below the environment.",
        "Secrets may be given as `NAME_FILE`, the path of a file that holds them. `rubato config check` prints what is",
        "in force, and an unknown name that begins with `RUBATO_` is refused. Rendered from `rubato/settings.py`.",
        "",
        "| variable | default | what it is |",
        "|---|---|---|",
    ]
    for field in Settings.model_fields.values():
        default = field.get_default(call_default_factory=True)
        shown = "" if default in (None, [], {}) else f"`{default}`".replace("False", "false")
        lines.append(f"| `{field.alias}` | {shown} | {field.description} |")
    return "\n".join(lines) + "\n"


def render_values(loaded: Loaded) -> str:
    """Return every value with its source, secrets redacted."""
    lines = []
    for name, field in Settings.model_fields.items():
        value = getattr(loaded.settings, name)
        shown = (
            "(set, not shown)" if isinstance(value, SecretStr) else "(none)" if value in (None, [], {}) else str(value)
        )
        lines.append(f"{field.alias!s:<26} {shown:<32} {loaded.sources[str(field.alias)]}")
    return "\n".join(lines)


def _check(settings: Settings) -> None:
    url = settings.database_url.get_secret_value() if settings.database_url else None
    if url is not None and urlsplit(url).scheme not in ("postgres", "postgresql"):
        raise ConfigurationError(
            "DATABASE_URL is not a PostgreSQL address; it looks like postgresql://user:password@host:5432/database."
        )
    direct = settings.direct_url.get_secret_value() if settings.direct_url else None
    if direct is not None and (url is None or urlsplit(direct).scheme not in ("postgres", "postgresql")):
        raise ConfigurationError(
            "RUBATO_DIRECT_DATABASE_URL is the PostgreSQL address of the database that DATABASE_URL reaches through a "
            "pooler: set both, or only DATABASE_URL."
        )
    if settings.secret is not None and len(settings.secret.get_secret_value()) < SHORTEST_SECRET:
        raise ConfigurationError(
            f"RUBATO_SECRET is shorter than {SHORTEST_SECRET} characters. Make one with: openssl rand -hex 32"
        )
    if (settings.github_client_id is None) != (settings.github_client_secret is None):
        raise ConfigurationError("GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET go together: set both, or neither.")
    if settings.planner == "llm" and settings.openai_api_key is None and settings.openai_base_url is None:
        raise ConfigurationError(
            "RUBATO_PLANNER is llm, but neither OPENAI_API_KEY nor OPENAI_BASE_URL is set. "
            "Set one of them, or RUBATO_PLANNER=offline."
        )


def _is_file_of(name: str, known: Mapping[str, Any]) -> bool:
    base = name.removesuffix("_FILE")
    return base != name and base in known and "SecretStr" in str(known[base].annotation)


def _read_file(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(
            f"{name} names a file that cannot be read: {path} ({type(error).__name__})."
        ) from error


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"Did you mean {near[0]}?" if near else "See docs/configuration.md for those that are."
