"""What deploys Rubato, as validators of its formats and the code itself read it."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from rubato.settings import Settings
from tests.debian import tool
from tests.helm import render
from tests.processes import ROOT, clean_environment, free_port, target

KUBERNETES = ROOT / "deploy/kubernetes"
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
VARIABLES = {str(field.alias) for field in Settings.model_fields.values()}
OF_OTHERS = {"PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"}


def ended(*command: str, cwd: Path = ROOT, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, cwd=cwd, env={**clean_environment(), **env}, capture_output=True, text=True, timeout=110, check=False
    )


def check_schema(schema: str, *files: Path) -> None:
    checker = str(Path(sys.executable).with_name("check-jsonschema"))
    checked = ended(checker, "--builtin-schema", schema, *map(str, files))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions with their arguments, continuation lines joined."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


def objects(*files: Path) -> list[dict[str, Any]]:
    return [each for file in files for each in yaml.safe_load_all(file.read_text()) if each]


# the image


def test_the_image_is_made_in_stages_and_runs_without_root() -> None:
    """R21: multi-stage, non-root, EXPOSE, HEALTHCHECK."""
    stages = [at for at, (name, _) in enumerate(instructions()) if name == "FROM"]
    assert len(stages) == 2
    last = dict(instructions()[stages[-1] :])
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", last["USER"])
    assert last["EXPOSE"].split() == ["3000", "3001"]
    assert "HEALTHCHECK" in last
    assert json.loads(last["ENTRYPOINT"]) == ["rubato"]
    assert not any("pip install" in rest for name, rest in instructions()[stages[-1] :] if name == "RUN")


def test_what_the_image_copies_exists_and_is_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name, rest in instructions():
        if name == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert source.split("/")[0] in kept, source


def test_the_image_holds_every_package_that_the_wheel_does() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = {rest.split()[0] for name, rest in instructions() if name == "COPY"}
    assert set(packages["packages"]) <= copied


@pytest.mark.parametrize(("answers", "code"), [(True, 0), (False, 1)], ids=["ready", "not ready"])
def test_the_health_check_tells_a_ready_process_from_another(answers: bool, code: int) -> None:
    rest = next(rest for name, rest in instructions() if name == "HEALTHCHECK")
    command = json.loads(rest[rest.index("[") :])
    with target() as served:
        served.reply = (200 if answers else 503, {}, b"{}")
        port = served.url.rpartition(":")[2]
        asked = ended(sys.executable, *command[1:], PORT=str(free_port()), RUBATO_WORKER_PORT=port)
        assert bool(asked.returncode) is bool(code), asked.stderr
        assert served.seen[0][1] == "/readyz"


def set_variables() -> Iterator[tuple[str, str]]:
    """Return every variable that a deploy file sets, and where."""
    for name, rest in instructions():
        if name == "ENV":
            yield from (("Dockerfile", variable) for variable in re.findall(r"(\w+)=", rest))
    for service, each in yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].items():
        yield from ((f"compose {service}", variable) for variable in each.get("environment", {}))
    for each in objects(KUBERNETES / "rubato.yaml"):
        if each["kind"] == "ConfigMap":
            yield from (("kubernetes", variable) for variable in each["data"])
    for service in yaml.safe_load((ROOT / "deploy/paas/render.yaml").read_text())["services"]:
        yield from ((service["name"], variable["key"]) for variable in service["envVars"])


def test_every_variable_that_is_set_is_a_setting() -> None:
    assert [each for each in set_variables() if each[1] not in VARIABLES | OF_OTHERS and each[1][:3] != "PIP"] == []


# compose


def test_the_compose_file_fits_its_schema() -> None:
    check_schema("vendor.compose-spec", ROOT / "compose.yaml")


@pytest.mark.timeout(700)  # it may install the package
def test_compose_itself_accepts_the_file() -> None:
    """R21: `docker compose config` accepts it."""
    secrets = {"POSTGRES_PASSWORD": "x", "RUBATO_ENCRYPTION_KEYS": "x", "RUBATO_SECRET": "x" * 32}
    has_plugin = shutil.which("docker") is not None and ended("docker", "compose", "version").returncode == 0
    command = ["docker", "compose"] if has_plugin else [tool("docker-compose", "docker-compose")]
    checked = ended(*command, "-f", "compose.yaml", "config", "--quiet", **secrets)
    assert checked.returncode == 0, checked.stderr
    refused = ended(*command, "-f", "compose.yaml", "config", "--quiet", **{**secrets, "RUBATO_SECRET": ""})
    assert refused.returncode != 0
    assert "RUBATO_SECRET" in refused.stderr


def test_api_and_worker_wait_for_the_one_migration() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    for name in ("api", "worker"):
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        assert services[name]["read_only"] is True
    assert services["migrate"]["restart"] == "no"
    assert services["worker"].keys().isdisjoint({"ports"})


# kubernetes


@pytest.mark.parametrize("version", ["1.31", "1.34"])
def test_every_object_fits_the_schemas_of_kubernetes(version: str) -> None:
    for each in objects(KUBERNETES / "rubato.yaml"):
        kubernetes_validate.validate(each, version, strict=True)


def test_a_wrong_field_is_caught() -> None:
    wrong = next(each for each in objects(KUBERNETES / "rubato.yaml") if each["kind"] == "Deployment")
    wrong["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.34", strict=True)


def test_every_selector_finds_the_pods_it_is_for() -> None:
    found = objects(KUBERNETES / "rubato.yaml")
    pods = [each["spec"]["template"]["metadata"]["labels"] for each in found if "template" in each.get("spec", {})]
    for each in found:
        spec = each.get("spec", {})
        chosen = spec.get("podSelector") or spec.get("selector")
        if chosen:
            labels = chosen.get("matchLabels", chosen)
            assert sum(labels.items() <= pod.items() for pod in pods) == 1, each["metadata"]["name"]
    (monitor,) = objects(KUBERNETES / "servicemonitor.yaml")
    ports = {port["name"] for each in found if each["kind"] == "Service" for port in each["spec"]["ports"]}
    assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} == ports


def test_every_pod_is_without_root_read_only_probed_and_given_time_to_drain() -> None:
    for each in objects(KUBERNETES / "rubato.yaml"):
        if each["kind"] not in ("Deployment", "Job"):
            continue
        pod = each["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            if each["kind"] == "Deployment":
                assert {"livenessProbe", "readinessProbe", "startupProbe"} <= container.keys()
                assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
                assert pod["terminationGracePeriodSeconds"] >= 30


# units, workflows


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_accepts_the_units(unit: Path, tmp_path: Path) -> None:
    for each in UNITS:
        text = re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", each.read_text())
        (tmp_path / each.name).write_text(text)
    name = unit.name.replace("@.", "@1.")
    checked = ended(tool("systemd-analyze", "systemd"), "verify", "--man=no", str(tmp_path / name))
    assert checked.returncode == 0, checked.stderr
    assert unit.name.split("@")[0] not in checked.stderr, checked.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_start_commands_that_exist(unit: Path) -> None:
    command = re.search(r"^ExecStart=/opt/rubato/bin/rubato (\w+)$", unit.read_text(), re.MULTILINE)
    assert command
    assert ended(sys.executable, "-m", "rubato", command[1], "--help").returncode == 0


def test_the_workflows_fit_their_schema() -> None:
    check_schema("vendor.github-workflows", *sorted((ROOT / ".github/workflows").glob("*.yml")))


def test_the_workflow_runs_the_same_verbs_as_ci_here() -> None:
    """R50: the gates run on each commit."""
    gates = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["gates"]["steps"]
    assert [step["run"] for step in gates if "run" in step] == ["make test", "make check"]
    assert all(verb in (ROOT / ".ci/run").read_text() for verb in ("make test", "make check"))


def test_what_is_rolled_out_comes_in_order() -> None:
    steps = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())["jobs"]["roll-out"]["steps"]
    names = [step.get("name", "") for step in steps]
    order = [names.index(name) for name in ("Migrate, once", "Deploy the API", "Deploy the workers")]
    assert order == sorted(order)
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    assert "staging" in jobs["production"]["needs"]
    assert os.path.basename(jobs["production"]["uses"]) == "deploy.yml"


def test_the_platforms_services_start_commands_that_exist() -> None:
    blueprint = yaml.safe_load((ROOT / "deploy/paas/render.yaml").read_text())
    for service in blueprint["services"]:
        for name in ("dockerCommand", "preDeployCommand"):
            if name in service:
                words = service[name].split()
                assert ended(sys.executable, "-m", *words, "--help").returncode == 0
    assert {service["type"] for service in blueprint["services"]} == {"web", "worker"}


# the chart


def test_the_chart_renders_to_the_plain_manifests() -> None:
    def by_place(each: dict[str, Any]) -> tuple[str, str]:
        return each["kind"], each["metadata"]["name"]

    rendered = render(ROOT / "deploy/helm/rubato", "rubato")
    for each in rendered:
        each["metadata"].pop("annotations", None)
    plain = objects(KUBERNETES / "rubato.yaml", KUBERNETES / "servicemonitor.yaml")
    assert sorted(rendered, key=by_place) == sorted(plain, key=by_place)


def test_the_charts_values_reach_its_objects() -> None:
    values = {
        "image": {"repository": "registry.example/rubato", "tag": "9"},
        "secretName": "other",
        "worker": {"autoscaling": {"enabled": False}, "replicas": 7},
        "monitoring": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "config": {"RUBATO_PLANNER": "off"},
    }
    found = {
        (each["kind"], each["metadata"]["name"]): each for each in render(ROOT / "deploy/helm/rubato", "a", values)
    }
    assert {kind for kind, _ in found}.isdisjoint({"HorizontalPodAutoscaler", "ServiceMonitor", "NetworkPolicy"})
    worker = found["Deployment", "a-worker"]["spec"]
    (container,) = worker["template"]["spec"]["containers"]
    assert (worker["replicas"], container["image"]) == (7, "registry.example/rubato:9")
    assert {"secretRef": {"name": "other"}} in container["envFrom"]
    assert found["ConfigMap", "a"]["data"]["RUBATO_PLANNER"] == "off"
    for each in found.values():
        kubernetes_validate.validate(each, "1.34", strict=True)


def test_the_migration_is_a_hook_before_everything_else() -> None:
    rendered = render(ROOT / "deploy/helm/rubato", "rubato")
    (job,) = [each for each in rendered if each["kind"] == "Job"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    pod = job["spec"]["template"]["spec"]
    assert "serviceAccountName" not in pod  # it would not be there yet
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "rubato"}}]
