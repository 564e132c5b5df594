"""Settings: where each comes from, what is refused and with which words, and the table made from them."""

from pathlib import Path

import pytest

from core.errors import ConfigurationError
from rubato.settings import Settings, load, render_table, render_values

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = Path("/nonexistent/.env")
SECRET = "not-to-be-shown-" * 3
URL = "postgresql://user:hidden@db.example:5432/rubato"


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("PORT", "http", "Port of the API"),
        ("PORT", "0", "greater than or equal to 1"),
        ("PORT", "65536", "less than or equal to 65535"),
        ("BATCH_SIZE", "0", "greater than or equal to 1"),
        ("POLL_INTERVAL_MS", "5s", "valid integer"),
        ("LOCK_TTL_MS", "9999", "greater than or equal to 10000"),
        ("RUBATO_ENV", "prod", "'production'"),
        ("RUBATO_PLANNER", "gpt", "'offline'"),
        ("RUBATO_LOG_FORMAT", "xml", "'json'"),
        ("RUBATO_METRICS_PUBLIC", "perhaps", "valid boolean"),
        ("RUBATO_MISFIRE_GRACE_MS", "-1", "greater than or equal to 1000"),
        ("RUBATO_WORKER_PORT", "x", "valid integer"),
        ("RUBATO_SECRET", "short", "openssl rand -hex 32"),
        ("DATABASE_URL", "mysql://localhost/x", "postgresql://user:password@host:5432/database"),
        ("DATABASE_URL", "somewhere", "postgresql://user:password@host:5432/database"),
        ("RUBATO_PRICES", "gpt-5-mini", "does not look like model=0.25/2"),
        ("RUBATO_PRICES", "m=0.25", "does not look like model=0.25/2"),
        ("RUBATO_PRICES", "m=-1/2", "a price below 0"),
        ("RUBATO_PRICES", "m=nan/2", "a price below 0"),
        ("RUBATO_PORT", "3000", "is not a setting"),
        ("RUBATO_PLANER", "off", "Did you mean RUBATO_PLANNER?"),
        ("RUBATO_SECRET_FILE", "/nonexistent/secret", "cannot be read"),
    ],
)
def test_a_bad_value_is_refused_by_name_with_a_remedy(name: str, value: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        load({name: value}, dotenv=NOWHERE)
    assert str(refusal.value).startswith(name)
    assert remedy in str(refusal.value)


def test_a_model_planner_without_any_way_to_a_model_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY nor OPENAI_BASE_URL"):
        load({"RUBATO_PLANNER": "llm"}, dotenv=NOWHERE)


def test_a_worker_needs_none_of_the_apis_variables() -> None:
    loaded = load({"DATABASE_URL": URL, "RUBATO_ENV": "production"}, dotenv=NOWHERE)
    assert loaded.settings.secret is None


def test_the_environment_outranks_dotenv_which_outranks_the_default(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("PORT=4000\nBATCH_SIZE=7\nUNRELATED=1\n")
    loaded = load({"PORT": "5000"}, dotenv=dotenv)
    assert (loaded.settings.port, loaded.sources["PORT"]) == (5000, "environment")
    assert (loaded.settings.batch_size, loaded.sources["BATCH_SIZE"]) == (7, ".env")
    assert (loaded.settings.poll_interval_ms, loaded.sources["POLL_INTERVAL_MS"]) == (5000, "default")


def test_an_unknown_name_in_dotenv_is_refused_too(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("RUBATO_LOGLEVEL=debug\n")
    with pytest.raises(ConfigurationError, match="RUBATO_LOG_LEVEL"):
        load({}, dotenv=dotenv)


def test_a_secret_may_come_from_a_file_and_anything_else_may_not(tmp_path: Path) -> None:
    kept = tmp_path / "secret"
    kept.write_text(f"{SECRET}\n")
    loaded = load({"RUBATO_SECRET_FILE": str(kept)}, dotenv=NOWHERE)
    assert loaded.settings.secret is not None
    assert loaded.settings.secret.get_secret_value() == SECRET
    assert loaded.sources["RUBATO_SECRET"] == f"file {kept}"
    with pytest.raises(ConfigurationError, match="RUBATO_ENV_FILE is not a setting"):
        load({"RUBATO_ENV_FILE": str(kept)}, dotenv=NOWHERE)


def test_an_empty_value_counts_as_none() -> None:
    loaded = load({"DATABASE_URL": "", "PORT": ""}, dotenv=NOWHERE)
    assert loaded.settings.database_url is None
    assert loaded.sources["PORT"] == "default"


def test_no_secret_is_ever_printed() -> None:
    given = {
        "DATABASE_URL": URL,
        "RUBATO_SECRET": SECRET,
        "OPENAI_API_KEY": "sk-hidden",
        "RUBATO_BOOTSTRAP_API_KEY": "cron_hidden",
    }
    loaded = load(given, dotenv=NOWHERE)
    shown = render_values(loaded) + repr(loaded)
    for value in ("hidden", SECRET):
        assert value not in shown
    assert shown.count("(set, not shown)") == len(given)


def test_every_setting_is_printed_with_its_source() -> None:
    lines = render_values(load({"PORT": "4000"}, dotenv=NOWHERE)).splitlines()
    assert [line.split()[0] for line in lines] == [field.alias for field in Settings.model_fields.values()]
    assert next(line for line in lines if line.startswith("PORT ")).split() == ["PORT", "4000", "environment"]


def test_the_documented_table_is_the_one_the_code_renders() -> None:
    assert (ROOT / "docs/configuration.md").read_text(encoding="utf-8") == render_table(), (
        "render it again: python -m rubato config table > docs/configuration.md"
    )


def test_the_example_names_every_setting_and_is_accepted_as_it_stands() -> None:
    example = ROOT / ".env.example"
    names = {line.partition("=")[0] for line in example.read_text().splitlines() if line and not line.startswith("#")}
    assert names == {str(field.alias) for field in Settings.model_fields.values()}
    assert load({}, dotenv=example).settings == load({}, dotenv=NOWHERE).settings


def test_an_oauth_app_is_given_whole_or_not_at_all() -> None:
    for name in ("GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET"):
        with pytest.raises(ConfigurationError, match="GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET go together"):
            load({name: "x"}, dotenv=NOWHERE)


def test_a_prefix_of_keys_is_short_plain_and_ends_in_an_underscore() -> None:
    assert load({"RUBATO_API_KEY_PREFIX": "acme_"}, dotenv=NOWHERE).settings.api_key_prefix == "acme_"
    for prefix in ("acme", "Acme_", "_", "acme__x", "a" * 20 + "_"):
        with pytest.raises(ConfigurationError, match="RUBATO_API_KEY_PREFIX"):
            load({"RUBATO_API_KEY_PREFIX": prefix}, dotenv=NOWHERE)


def test_prices_are_read_by_model() -> None:
    settings = load({"RUBATO_PRICES": "gpt-5-mini=0.25/2, a=b=1/4"}, dotenv=NOWHERE).settings
    assert settings.prices == {"gpt-5-mini": (0.25, 2.0), "a=b": (1.0, 4.0)}
