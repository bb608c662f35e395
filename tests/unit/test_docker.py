"""What docker/ says, held to the code: commands, ports, paths, secrets, metrics, versions. No image is built."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import click
import pytest
import yaml
from aiohttp import web
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from prometheus_client import CollectorRegistry

import broadcaster.metrics
import cdc.metrics
from broadcaster.cli import main
from cdc.config_parse import load, parse
from cdc.health import Health
from cdc.web import application

DOCKER = Path(__file__).parents[2] / "docker"
HEALTH = {"/healthz", "/readyz"}


def read(name):
    return (DOCKER / name).read_text()


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load(read("compose.yaml"))


@pytest.fixture(scope="module")
def manifests():
    return list(yaml.safe_load_all(read("kubernetes/livetail.yaml")))


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    """docker/.env as docker/new-env.sh writes it."""
    folder = tmp_path_factory.mktemp("env") / "docker"
    folder.mkdir()
    shutil.copy(DOCKER / "new-env.sh", folder)
    subprocess.run([folder / "new-env.sh"], check=True, capture_output=True)
    first = (folder / ".env").read_text()
    subprocess.run([folder / "new-env.sh"], check=True, capture_output=True)
    assert (folder / ".env").read_text() == first, "secrets are never made anew"
    assert (folder / ".env").stat().st_mode & 0o077 == 0
    values = dict(line.split("=") for line in first.splitlines())
    assert values.pop("COMPOSE_PROJECT_NAME") == "livetail"
    return values


def options(arguments):
    """What a `livetail` command line means to the command; fails where it is not one."""
    name, *rest = arguments
    assert isinstance(main, click.Group)
    return main.commands[name].make_context(name, list(rest)).params


def images():
    """(target, its instructions by name) of the Dockerfile."""
    stages = re.split(r"^FROM ", read("Dockerfile").replace("\\\n", " "), flags=re.MULTILINE)[1:]
    found = {}
    for stage in stages:
        first, *lines = stage.splitlines()
        steps = [line.split(" ", 1) for line in lines if re.match(r"[A-Z]+ ", line)]
        found[first.split(" AS ")[1]] = dict(steps)
    return found


@pytest.mark.parametrize("target", ["cdc", "broadcaster"])
def test_an_image_runs_its_command_and_looks_where_that_listens(target):
    image = images()[target]
    command = json.loads(image["CMD"])
    assert command[0] == target
    given = options(command)
    assert given["prod"]
    assert given["listen"] == ("0.0.0.0", int(image["EXPOSE"]))
    checked = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", image["HEALTHCHECK"])
    assert int(checked[1]) == int(image["EXPOSE"])
    assert checked[2] in HEALTH
    assert json.loads(images()["livetail"]["ENTRYPOINT"]) == ["livetail"]
    assert images()["livetail"]["USER"] == "10001:10001"


def test_health_paths_are_served():
    registry = CollectorRegistry()
    paths = {route.resource.canonical for route in application(Health(1), registry).router.routes()}
    assert HEALTH | {"/metrics"} <= paths
    assert isinstance(application(Health(1), registry), web.Application)


def test_the_images_install_what_the_project_asks_for():
    pins = {}
    for line in read("requirements.txt").splitlines():
        if not line.startswith("#"):
            name, _, version = line.partition("==")
            pins[canonicalize_name(name)] = version
    project = tomllib.loads((DOCKER.parent / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(text) for text in project["dependencies"]]
    assert len(wanted) > 10
    for requirement in wanted:
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


def test_the_configuration_of_compose_finds_its_secrets_and_services(compose, secrets):
    services = compose["services"]
    given = services["cdc"]["environment"]
    assert given == services["broadcaster"]["environment"]
    assert all(value.startswith("${" + name + ":?") for name, value in given.items())
    config = load(DOCKER / "livetail.yaml", {name: secrets[name] for name in given})
    hosts = {database.conn.reveal().split("@")[1].split(":")[0] for database in config.databases.values()}
    assert hosts == {"postgres", "mongo", "mysql"}
    assert hosts <= services.keys()
    assert config.realtime.kafka.brokers == ("kafka:9092",)
    assert services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].endswith("//kafka:9092")
    assert all(config.realtime_collections(alias) == ("todos",) for alias in config.databases)
    assert services["cdc"]["build"]["target"] == "cdc"
    assert services["broadcaster"]["build"]["target"] == "broadcaster"


def test_compose_asks_for_no_secret_that_is_not_made(compose, secrets):
    asked = set(re.findall(r"\$\{(\w+)", read("compose.yaml")))
    assert asked == secrets.keys()


def test_compose_mounts_what_is_there(compose):
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DOCKER / source).exists(), f"{name}: {source}"
            else:
                assert source in compose["volumes"], f"{name}: {source}"


def test_everything_is_pinned(compose, manifests):
    used = [service["image"] for service in compose["services"].values() if "build" not in service]
    used += [container["image"] for container in containers(manifests)]
    used += [f"python:{tag}" for tag in re.findall(r"ARG PYTHON=(\S+)", read("Dockerfile"))]
    assert len(used) > 8
    assert [image for image in used if not re.search(r":v?\d+\.\d+", image)] == []


def test_compose_is_accepted_by_docker(secrets):
    command = compose_command()
    checked = subprocess.run(
        [*command, "--file", DOCKER / "compose.yaml", "config", "--quiet"],
        env={**os.environ, **secrets},
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr


def compose_command():
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            version = subprocess.run([*command, "version"], capture_output=True)
            if version.returncode == 0:
                return command
    pytest.skip("there is neither `docker compose` nor docker-compose")


def containers(manifests):
    return [
        container
        for manifest in manifests
        if manifest["kind"] == "Deployment"
        for container in manifest["spec"]["template"]["spec"]["containers"]
    ]


def test_kubernetes_runs_commands_and_probes_that_exist(manifests):
    ours = [container for container in containers(manifests) if "args" in container]
    assert [container["args"][0] for container in ours] == ["cdc", "broadcaster"]
    for container in ours:
        given = options(container["args"])
        assert given["prod"]
        (port,) = container["ports"]
        assert given["listen"] == ("0.0.0.0", port["containerPort"])
        probes = [
            container[name]["httpGet"] for name in ("livenessProbe", "readinessProbe") if name in container
        ]
        assert all(probe["path"] in HEALTH and probe["port"] == port["name"] for probe in probes)
        (mount,) = container["volumeMounts"]
        assert str(given["file"]).startswith(mount["mountPath"] + "/")
    annotated = {
        manifest["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"]
        for manifest in manifests
        if manifest["kind"] == "Deployment"
    }
    assert annotated == {str(container["ports"][0]["containerPort"]) for container in ours}


def test_kubernetes_names_what_it_defines(manifests):
    by_kind = {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in manifests}
    deployments = [manifest for (kind, _), manifest in by_kind.items() if kind == "Deployment"]
    for deployment in deployments:
        template = deployment["spec"]["template"]
        assert deployment["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
        for volume in template["spec"]["volumes"]:
            assert ("ConfigMap", volume["configMap"]["name"]) in by_kind
    service = by_kind["Service", "todo-app-broadcaster"]
    assert service["spec"]["selector"] in [each["spec"]["selector"]["matchLabels"] for each in deployments]
    (rule,) = by_kind["Ingress", "todo-app-broadcaster"]["spec"]["rules"]
    for path in rule["http"]["paths"]:
        assert path["backend"]["service"] == {"name": "todo-app-broadcaster", "port": {"name": "http"}}


def test_the_configuration_of_kubernetes_is_one(manifests):
    (held,) = [manifest["data"] for manifest in manifests if manifest["kind"] == "ConfigMap"]
    environment = dict.fromkeys(
        ("JWT_SECRET", "PGPASSWORD", "KAFKA_PASSWORD"), "0123456789abcdef0123456789abcdef"
    )
    config = parse(held["livetail.yaml"], environment)
    assert config.realtime_collections("sql-postgres") == ("todos",)
    assert len(config.realtime.kafka.brokers) == 3


def metric_names():
    registry = CollectorRegistry()
    cdc.metrics.Metrics(registry)
    broadcaster.metrics.Metrics(registry)
    names = set()
    for family in registry.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        names |= {family.name + suffix for suffix in suffixes}
    return names


@pytest.mark.parametrize("file", ["prometheus/alerts.yml", "grafana/dashboards/livetail.json"])
def test_only_metrics_that_there_are(file):
    used = set(re.findall(r"\b(?:cdc|broadcaster)_[a-z_]+", read(file)))
    assert len(used) > 5
    assert used - metric_names() == set()


def test_prometheus_and_grafana_find_their_files_and_targets(compose):
    prometheus = yaml.safe_load(read("prometheus/prometheus.yml"))
    assert prometheus["rule_files"] == ["/etc/prometheus/alerts.yml"]
    found = {
        look["names"][0]: look["port"]
        for job in prometheus["scrape_configs"]
        for look in job.get("dns_sd_configs", [])
    }
    assert found == {target: int(images()[target]["EXPOSE"]) for target in ("cdc", "broadcaster")}
    assert found.keys() <= compose["services"].keys()
    sources = yaml.safe_load(read("grafana/provisioning/datasources/prometheus.yaml"))["datasources"]
    dashboard = json.loads(read("grafana/dashboards/livetail.json"))
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {sources[0]["uid"]}
    home = compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (DOCKER / "grafana" / "dashboards" / Path(home).name).exists()
    alerts = yaml.safe_load(read("prometheus/alerts.yml"))
    assert all(rule["annotations"]["summary"] for group in alerts["groups"] for rule in group["rules"])


def test_nginx_does_not_hold_events_back():
    text = read("nginx/livetail.conf")
    assert "proxy_buffering off;" in text
    assert f"broadcaster:{images()['broadcaster']['EXPOSE']};" in text
    (passed,) = re.findall(r"location ~ (\S+) {", text)
    for path in ("/v1/api/todo-app/realtime/mongo/todos", "/v1/openapi.json", "/livetail.js"):
        assert re.match(passed, path)
    for path in ("/metrics", "/healthz", "/readyz", "/", "/console/status"):
        assert not re.match(passed, path)
