"""A real Prometheus for tests: Debian's package, run on loopback with a folder of its own."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from tests.debian import tool
from tests.processes import call, free_port, running, serves, wait_for


class Prometheus:
    """A running server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def alerts(self) -> dict[str, str]:
        """Return the alerts that are pending or firing, by name."""
        found = call("GET", f"{self.url}/api/v1/alerts").body["data"]["alerts"]
        return {alert["labels"]["alertname"]: alert["state"] for alert in found}

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        return {name for name, state in self.alerts().items() if state == "firing"}

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return an instant query's series."""
        asked = urlencode({"query": expression})
        found: list[dict[str, Any]] = call("GET", f"{self.url}/api/v1/query?{asked}").body["data"]["result"]
        return found


@contextmanager
def prometheus(
    folder: Path, rules: str, targets: Mapping[str, Sequence[str]], *, interval: str = "1s"
) -> Iterator[Prometheus]:
    """Serve a Prometheus that scrapes `targets` (job -> host:port) under these rules."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "alerts.yml").write_text(rules)
    jobs = [{"job_name": job, "static_configs": [{"targets": list(each)}]} for job, each in targets.items()]
    config = {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "rule_files": ["alerts.yml"],
        "scrape_configs": jobs,
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [
        tool("prometheus", "prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(command, folder / "prometheus.log"):
        served = Prometheus(f"http://127.0.0.1:{port}")
        wait_for("Prometheus to serve", serves(f"{served.url}/-/ready"))
        yield served
