"""What is needed of a MongoDB, and what of it we do ourselves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc.mongo.requirements import Facts, automatic_commands, images, permits, requirements
from cdc.mongo.target import Target

TARGET = Target("todo-app", "mongo", "mongodb://localhost/app", True, "app", ("todos",))
KEPT = {"changeStreamPreAndPostImages": {"enabled": True}}
PLAIN = {"name": "todos", "type": "collection", "options": KEPT}
FACTS = Facts((6, 0, 5), "rs0", False, None, {"todos": PLAIN})
READ = {"resource": {"db": "app", "collection": ""}, "actions": ["find", "changeStream"]}
ADMIN = {"resource": {"db": "app", "collection": ""}, "actions": ["collMod", "createCollection"]}


def unmet(facts, target=TARGET):
    return [each for each in (*requirements(target, facts), *images(target, facts)) if not each.ok]


def only(facts, target=TARGET):
    (found,) = unmet(facts, target)
    return found


CLUSTER = replace(FACTS, set_name=None, sharded=True)


@pytest.mark.parametrize("facts", [FACTS, CLUSTER, replace(FACTS, privileges=[READ])])
def test_all_is_met(facts):
    assert unmet(facts) == []
    assert list(automatic_commands(TARGET, facts)) == []


def test_server():
    assert "6.0 or later" in only(replace(FACTS, version=(5, 0, 9))).detail
    found = only(replace(FACTS, set_name=None))
    assert "--replSet" in found.fix
    assert not found.automatic


def test_privileges():
    names = [each.name for each in unmet(replace(FACTS, privileges=[]))]
    assert names == ["database app: find", "database app: changeStream"]


def test_a_view_is_no_collection():
    facts = replace(FACTS, collections={"todos": {"name": "todos", "type": "view", "options": {}}})
    assert "is a view" in only(facts).detail
    assert list(automatic_commands(TARGET, facts)) == []


@pytest.mark.parametrize(
    ("described", "command"),
    [(PLAIN | {"options": {}}, {"collMod": "todos", **KEPT}), (None, {"create": "todos", **KEPT})],
)
def test_images(described, command):
    facts = replace(FACTS, collections={} if described is None else {"todos": described})
    found = only(facts)
    assert found.automatic
    assert 'db.getSiblingDB("app").runCommand({' in found.fix
    assert list(automatic_commands(TARGET, facts)) == [command]
    for target, facts_ in (
        (replace(TARGET, manage=False), facts),
        (TARGET, replace(facts, privileges=[READ])),
    ):
        assert not only(facts_, target).automatic
        assert list(automatic_commands(target, facts_)) == []
    assert only(replace(facts, privileges=[READ, ADMIN])).automatic


@pytest.mark.parametrize(
    ("resource", "permitted"),
    [
        ({"db": "app", "collection": ""}, True),
        ({"db": "", "collection": ""}, True),
        ({"db": "app", "collection": "todos"}, True),
        ({"anyResource": True}, True),
        ({"db": "other", "collection": ""}, False),
        ({"db": "app", "collection": "other"}, False),
        ({"cluster": True}, False),
    ],
)
def test_permits(resource, permitted):
    privileges = [{"resource": resource, "actions": ["collMod"]}]
    assert permits(privileges, "app", "todos", "collMod") is permitted
    assert not permits(privileges, "app", "todos", "find")
