"""Requirements from facts: the statement for each, and which of them are ours to run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc.postgres.facts import Publication, Server, Slot, TableFacts
from cdc.postgres.requirements import Facts, published, requirements, slot_requirement
from cdc.postgres.target import Target
from cdc.requirement import Requirement, explain
from support.postgres_facts import SERVER

NAME = ("public", "t")
TARGET = Target("p", "db", "postgresql://h/d", True, "pub", "the_slot", {NAME: "t"})
TABLE = TableFacts("public", "t", 1, "r", "p", has_key=True, may_select=True, owned=True)
PUBLICATION = Publication(
    owned=True,
    all_tables=False,
    schemas=False,
    all_operations=True,
    via_root=True,
    generated=True,
    tables=frozenset({NAME}),
    narrowed=frozenset(),
)
SLOT = Slot("pgoutput", "d", None, 500, 0, "reserved", None, None)
FACTS = Facts(SERVER, [TABLE], PUBLICATION, SLOT)


def unmet(facts: Facts, target: Target = TARGET) -> list[Requirement]:
    return [each for each in requirements(target, facts) if not each.ok]


def only(facts: Facts, target: Target = TARGET) -> Requirement:
    [requirement] = unmet(facts, target)
    return requirement


def test_all_met_needs_no_fix() -> None:
    assert unmet(FACTS) == []
    assert {each.fix for each in requirements(TARGET, FACTS)} == {""}
    assert slot_requirement(TARGET, FACTS).ok


def test_a_key_that_rows_may_share_for_a_moment() -> None:
    requirement = only(replace(FACTS, tables=[replace(TABLE, late_key=True)]))
    assert requirement.name == "table public.t: primary key"
    assert "DEFERRABLE" in requirement.detail
    assert not requirement.automatic


def test_rows_that_policies_hide() -> None:
    requirement = only(replace(FACTS, tables=[replace(TABLE, row_security=True)]))
    assert requirement.fix == 'ALTER ROLE "u" BYPASSRLS;'
    assert not requirement.automatic


@pytest.mark.parametrize(
    ("server", "name", "fix"),
    [
        (replace(SERVER, version=140000), "version", ""),
        (replace(SERVER, wal_level="replica"), "wal_level", "ALTER SYSTEM SET wal_level = 'logical';"),
        (replace(SERVER, standby=True), "primary", ""),
        (replace(SERVER, may_replicate=False), "replication", 'ALTER ROLE "u" REPLICATION;'),
        (replace(SERVER, free_senders=0), "wal senders", "ALTER SYSTEM SET max_wal_senders = 14;"),
    ],
)
def test_server(server: Server, name: str, fix: str) -> None:
    requirement = only(replace(FACTS, server=server))
    assert requirement.name == name
    assert requirement.fix.startswith(fix)
    assert not requirement.automatic


def test_slots_and_senders_that_are_ours_already_are_enough() -> None:
    full = replace(SERVER, free_slots=0, free_senders=0)
    assert unmet(replace(FACTS, server=full, slot=replace(SLOT, active_pid=7))) == []
    assert only(replace(FACTS, server=replace(full, free_senders=1), slot=None)).name == "replication slots"


@pytest.mark.parametrize(
    ("table", "words", "fix"),
    [
        (TableFacts("public", "t", None, near=("public.u",)), "did you mean public.u?", ""),
        (replace(TABLE, kind="v"), "is a view", ""),
        (replace(TABLE, kind="f"), "is a foreign table", ""),
        (replace(TABLE, persistence="u"), "unlogged", 'ALTER TABLE "public"."t" SET LOGGED;'),
        (replace(TABLE, persistence="t"), "temporary", ""),
        (replace(TABLE, inherited=True), "inherit", ""),
        (replace(TABLE, kind="p", foreign_parts=True), "foreign table as a partition", ""),
        (replace(TABLE, has_key=False), "has none", 'ALTER TABLE "public"."t" ADD PRIMARY KEY'),
        (replace(TABLE, may_select=False), "may not read", 'GRANT USAGE ON SCHEMA "public" TO "u";'),
    ],
)
def test_table(table: TableFacts, words: str, fix: str) -> None:
    requirement = only(replace(FACTS, tables=[table]))
    assert words in requirement.detail
    assert requirement.fix.startswith(fix)
    assert bool(requirement.fix) == bool(fix)
    assert not requirement.automatic


def test_replica_identity_of_every_part_is_the_owners_to_set() -> None:
    table = replace(TABLE, kind="p", not_full=(("public", "t"), ("parts", "t_1")))
    requirement = only(replace(FACTS, tables=[table]))
    assert requirement.automatic
    assert requirement.fix == (
        'ALTER TABLE "public"."t" REPLICA IDENTITY FULL; ALTER TABLE "parts"."t_1" REPLICA IDENTITY FULL;'
    )
    assert not only(replace(FACTS, tables=[replace(table, owned=False)])).automatic
    assert not only(replace(FACTS, tables=[table]), replace(TARGET, manage=False)).automatic


def test_publication_is_created_with_all_options() -> None:
    requirement = only(replace(FACTS, publication=None))
    assert requirement.automatic
    assert requirement.fix == (
        'CREATE PUBLICATION "pub" FOR TABLE "public"."t" WITH (publish = \'insert, update, delete, truncate\', '
        "publish_via_partition_root = true, publish_generated_columns = stored);"
    )
    older = only(Facts(replace(SERVER, version=170000), [TABLE], None, SLOT))
    assert "publish_generated_columns" not in older.fix


def test_publication_waits_for_a_table_to_publish() -> None:
    facts = Facts(SERVER, [TableFacts("public", "t", None)], None, SLOT)
    assert [each.name for each in unmet(facts)] == ["table public.t"]


@pytest.mark.parametrize(
    "publication",
    [
        replace(PUBLICATION, all_operations=False),
        replace(PUBLICATION, via_root=False),
        replace(PUBLICATION, generated=False),
    ],
)
def test_publication_options(publication: Publication) -> None:
    requirement = only(replace(FACTS, publication=publication))
    assert requirement.name == "publication pub: options"
    assert requirement.fix.startswith('ALTER PUBLICATION "pub" SET (publish = ')


@pytest.mark.parametrize(
    ("publication", "words"),
    [
        (replace(PUBLICATION, tables=frozenset()), "lacks public.t"),
        (replace(PUBLICATION, tables=frozenset({NAME, ("public", "more")})), "not realtime-enabled"),
        (replace(PUBLICATION, narrowed=frozenset({NAME})), "only some rows or columns of public.t"),
    ],
)
def test_publication_tables(publication: Publication, words: str) -> None:
    requirement = only(replace(FACTS, publication=publication))
    assert words in requirement.detail
    assert requirement.fix == 'ALTER PUBLICATION "pub" SET TABLE "public"."t";'


def test_by_hand_a_publication_may_hold_more_and_be_narrowed() -> None:
    publication = replace(
        PUBLICATION, tables=frozenset({NAME, ("public", "more")}), narrowed=frozenset({NAME})
    )
    facts, target = replace(FACTS, publication=publication), replace(TARGET, manage=False)
    assert unmet(facts, target) == []
    assert any("only some rows" in each.detail for each in requirements(target, facts))
    assert published(target, facts) == {NAME}
    assert published(TARGET, facts) == frozenset()


def test_a_publication_of_whole_schemas_is_added_to() -> None:
    publication = replace(PUBLICATION, schemas=True, tables=frozenset({("public", "more")}))
    assert "ADD TABLE" in only(replace(FACTS, publication=publication)).fix


def test_slot() -> None:
    by_hand = replace(TARGET, manage=False)
    assert slot_requirement(TARGET, replace(FACTS, slot=None)).ok
    missing = slot_requirement(by_hand, replace(FACTS, slot=None))
    assert missing.fix == "SELECT pg_create_logical_replication_slot('the_slot', 'pgoutput');"
    foreign = slot_requirement(TARGET, replace(FACTS, slot=replace(SLOT, database="e")))
    assert (foreign.ok, foreign.automatic) == (False, False)
    invalid = slot_requirement(TARGET, replace(FACTS, slot=replace(SLOT, invalid="wal_removed")))
    assert (invalid.ok, invalid.automatic) == (False, True)


def test_explain_lists_everything() -> None:
    facts = replace(FACTS, server=replace(SERVER, wal_level="minimal"), publication=None)
    text = explain(unmet(facts))
    assert text.splitlines() == [
        "2 requirements are not met",
        "  wal_level: is minimal; must be logical, which takes a restart of the server",
        "      ALTER SYSTEM SET wal_level = 'logical';  -- then restart Postgres",
        "  publication pub: does not exist",
        '      CREATE PUBLICATION "pub" FOR TABLE "public"."t" WITH (publish = \'insert, update, delete, truncate\', '
        "publish_via_partition_root = true, publish_generated_columns = stored);",
    ]
