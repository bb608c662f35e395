"""Alert rules and dashboard: promtool takes them; alerts fire when they shall, and a running system has each metric."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import aiohttp
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from broadcaster.client import Client
from broadcaster.demo.debian import NotFromDebian
from servers.postgres import Database
from servers.promtool import promtool
from support.live import served, until

DOCKER = Path(__file__).parents[2] / "docker"
ALERTS = DOCKER / "prometheus" / "alerts.yml"
OF_PROMETHEUS = {"instance", "job", "le"}


def asked() -> list[str]:
    """Every expression of the alert rules and of the dashboard."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    dashboard = json.loads((DOCKER / "grafana" / "dashboards" / "livetail.json").read_text())
    rules = [rule["expr"] for group in groups for rule in group["rules"]]
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    return rules + [expression.replace("$__rate_interval", "1m") for expression in shown]


@pytest.fixture(scope="module")
def tool() -> Path:
    try:
        return promtool()
    except NotFromDebian as error:
        pytest.skip(f"no promtool: {error}")


def accepted(tool: Path, *arguments: str | Path) -> None:
    done = subprocess.run([tool, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_rules_and_configuration(tool: Path, tmp_path: Path) -> None:
    text = (DOCKER / "prometheus" / "prometheus.yml").read_text()
    assert "/etc/prometheus/" in text
    config = tmp_path / "prometheus.yml"
    config.write_text(text.replace("/etc/prometheus/", f"{ALERTS.parent}/"))
    accepted(tool, "check", "config", config)
    accepted(tool, "check", "rules", "--lint-fatal", ALERTS)


def test_the_alerts_fire_when_they_shall(tool: Path) -> None:
    tests = ALERTS.with_name("alerts.test.yml")
    accepted(tool, "test", "rules", tests)
    names = {
        rule["alert"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
    }
    tried = [
        (each["alertname"], bool(each.get("exp_alerts")))
        for test in yaml.safe_load(tests.read_text())["tests"]
        for each in test["alert_rule_test"]
    ]
    assert set(tried) == {(name, fires) for name in names for fires in (True, False)}
    table = re.findall(r"^\| (`.*?`) \|", ALERTS.with_name("README.md").read_text(), re.MULTILINE)
    assert {name for row in table for name in re.findall(r"\w+", row)} == names


def test_what_the_dashboard_asks_is_promql(tool: Path, tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(asked())]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    accepted(tool, "check", "rules", file)


async def test_every_metric_that_is_asked_for_is_told_by_a_running_system(
    postgres_db: Database, tmp_path: Path
) -> None:
    postgres_db.execute("CREATE TABLE todos (id int PRIMARY KEY, done boolean)")
    async with (
        served("sql-postgres", postgres_db.url, tmp_path, "todos") as url,
        Client("todo-app", url) as client,
        aiohttp.ClientSession() as session,
    ):
        live = client.live_query("sql-postgres", "todos", {"done": False})
        assert await until(live, lambda docs: docs == []) == ["initial"]
        postgres_db.execute("INSERT INTO todos VALUES (1, false)")
        assert await until(live, lambda docs: len(docs) == 1) == ["insert"]
        async with session.get(f"{url}/metrics") as response:
            told = list(text_string_to_metric_families(await response.text()))
    names = {family.name for family in told} | {sample.name for family in told for sample in family.samples}
    for expression in asked():
        for name in re.findall(r"\b(?:cdc|broadcaster)_[a-z_]+", expression):
            assert {name, name.removesuffix("_total")} & names, f"{name} in {expression}"
    values = {sample.name: sample.value for family in told for sample in family.samples}
    assert (values["cdc_ready"], values["cdc_connected"], values["broadcaster_ready"]) == (1, 1, 1)
    assert values["broadcaster_connections"] == 1
    labels = {family.name: set().union(*(sample.labels for sample in family.samples)) for family in told}
    grouping = re.compile(r"by \(([^)]*)\) \((?:\w+\()?((?:cdc|broadcaster)_[a-z_]+)")
    found = [each for expression in asked() for each in grouping.findall(expression)]
    assert len(found) > 20
    for by, name in found:
        known = labels[re.sub(r"_(?:total|bucket|sum|count)$", "", name)]
        assert not known or set(by.split(", ")) - OF_PROMETHEUS <= known, f"{name} by {by}"
