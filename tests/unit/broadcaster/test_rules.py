"""Rules and claims to the predicate of what may be read; everything fails closed."""

from __future__ import annotations

from typing import Any

import pytest

from broadcaster.errors import RequestError
from broadcaster.evaluate import compile_predicate
from broadcaster.predicate import TRUE, conjunction
from broadcaster.query import parse_where
from broadcaster.rules import Answers, Grant, read_grant
from cdc.rule import AllOf, Allow, AnyOf, Authenticated, Deny, Force, Match, Remove, Rule, Variable, Webhook

ALLOW, DENY, TOKEN = Allow(), Deny(), Authenticated()


def auth(*path: str) -> Variable:
    return Variable("auth", path)


def doc(*path: str) -> Variable:
    return Variable("doc", path)


def find(*path: str) -> Variable:
    return Variable("find", path)


def denial(rule: Rule | None, claims: Any = None, fallback: Rule | None = None, where: Any = None) -> str:
    with pytest.raises(RequestError) as denied:
        read_grant(rule, fallback, claims, parse_where(where or {}))
    return denied.value.code


def allows(rule: Rule, claims: Any, row: dict[str, Any], where: Any = None) -> bool:
    """Whether a client with these claims may read the row."""
    try:
        node = read_grant(rule, None, claims, parse_where(where or {})).rows
    except RequestError:
        return False
    return compile_predicate(node)(row)


def test_the_fallback_holds_only_where_there_is_no_rule() -> None:
    assert read_grant(ALLOW, DENY, None) == Grant(TRUE)
    assert read_grant(None, ALLOW, None) == Grant(TRUE)
    assert denial(None) == "access_denied"
    assert denial(DENY, fallback=ALLOW) == "access_denied"
    assert denial(None, fallback=DENY) == "access_denied"


def test_a_token_is_asked_for_where_it_might_help() -> None:
    assert denial(TOKEN) == "unauthenticated"
    assert read_grant(TOKEN, None, {}) == Grant(TRUE)
    owner = Match("==", "string", auth("id"), doc("owner"))
    assert denial(owner) == "unauthenticated"
    assert denial(owner, {"sub": "u1"}) == "access_denied"
    assert read_grant(AnyOf((owner, ALLOW)), None, None) == Grant(TRUE)
    assert denial(AllOf((owner, ALLOW))) == "unauthenticated"


@pytest.mark.parametrize(
    ("how", "kind", "claim", "value", "holds"),
    [
        ("==", "string", "u1", "u1", True),
        ("==", "string", "u1", "U1", False),
        ("==", "string", 5, "5", False),
        ("!=", "string", "u1", "u2", True),
        ("!=", "string", None, "u2", False),
        ("!=", "string", ["u1"], "u2", False),
        ("==", "number", 5, 5.0, True),
        ("==", "number", True, 1, False),
        ("==", "number", "5", 5, False),
        (">", "number", 6, 5, True),
        ("<=", "number", 6, 5, False),
        ("==", "bool", True, True, True),
        ("==", "bool", 1, True, False),
        ("<", "date", "2026-01-30T23:00:00-02:00", "2026-01-31T00:30:00Z", False),
        ("<", "date", "2026-01-30", "2026-01-31", True),
        ("<", "date", "soon", "2026-01-31", False),
        ("in", "string", "a", ("a", "b"), True),
        ("in", "string", "c", ("a", "b"), False),
        ("notIn", "string", "c", ("a", "b"), True),
        ("notIn", "string", None, ("a", "b"), False),
    ],
)
def test_claims_beside_constants(how: Any, kind: Any, claim: Any, value: Any, holds: bool) -> None:
    rule = Match(how, kind, auth("level"), value)
    assert allows(rule, {"level": claim}, {}) is holds
    assert allows(rule, {}, {}) is False


def test_a_claim_that_is_a_list() -> None:
    member = Match("in", "string", find("team"), auth("org", "teams"))
    claims = {"org": {"teams": ["a", "b"]}}
    assert allows(member, claims, {}, {"team": "a"})
    assert not allows(member, claims, {}, {"team": "c"})
    assert not allows(member, {"org": {"teams": ["a", 5]}}, {}, {"team": "a"})
    assert not allows(member, {"org": {"teams": "a"}}, {}, {"team": "a"})
    assert not allows(member, {"org": "teams"}, {}, {"team": "a"})


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        ({"userId": "me"}, True),
        ({"userId": {"$eq": "me"}, "$or": [{"userId": "victim"}, {"x": 1}]}, True),
        ({"$and": [{"userId": "me"}, {"x": 1}]}, True),
        ({"$or": [{"userId": "me"}, {"userId": "victim"}]}, False),
        ({"userId": {"$in": ["me", "victim"]}}, False),
        ({"userId": {"$ne": "me"}}, False),
        ({"$not": {"userId": "me"}}, False),
        ({"userId": "victim"}, False),
        ({}, False),
    ],
)
def test_only_what_must_hold_counts_as_asked_for(where: Any, holds: bool) -> None:
    rule = Match("==", "string", find("userId"), auth("id"))
    assert allows(rule, {"id": "me"}, {"userId": "me"}, where) is holds


def test_an_or_beside_the_condition_opens_nothing() -> None:
    """Space Cloud dropped the siblings of `$or`, in the rule as in the query."""
    where = parse_where({"userId": "me", "$or": [{"userId": "victim"}, {"userId": "me"}]})
    rule = Match("==", "string", find("userId"), auth("id"))
    test = compile_predicate(conjunction(where, read_grant(rule, None, {"id": "me"}, where).rows))
    assert test({"userId": "me"})
    assert not test({"userId": "victim"})


@pytest.mark.parametrize(
    ("how", "claim", "row", "holds"),
    [
        ("==", "u1", {"owner": "u1"}, True),
        ("==", "u1", {"owner": "u2"}, False),
        ("==", "u1", {"owner": ["u0", "u1"]}, True),
        ("==", "u1", {}, False),
        ("!=", "u1", {"owner": "u2"}, True),
        ("!=", "u1", {"owner": None}, False),
        ("!=", "u1", {}, False),
        ("in", ["u1", "u2"], {"owner": "u2"}, True),
        ("in", ["u1", "u2"], {"owner": "u3"}, False),
        ("in", [], {"owner": "u3"}, False),
        ("notIn", ["u1"], {"owner": "u3"}, True),
        ("notIn", ["u1"], {}, False),
        (">", "u1", {"owner": "u3"}, True),
    ],
)
def test_rows(how: Any, claim: Any, row: dict[str, Any], holds: bool) -> None:
    assert allows(Match(how, "string", doc("owner"), auth("id")), {"id": claim}, row) is holds


def test_the_row_may_stand_on_either_side() -> None:
    newer = Match("<", "number", auth("level"), doc("level"))
    assert allows(newer, {"level": 5}, {"level": 6})
    assert not allows(newer, {"level": 5}, {"level": 5})
    member = Match("in", "string", auth("id"), doc("members"))
    assert allows(member, {"id": "u1"}, {"members": ["u0", "u1"]})
    assert not allows(member, {"id": "u2"}, {"members": ["u0", "u1"]})
    stranger = Match("notIn", "string", auth("id"), doc("banned"))
    assert allows(stranger, {"id": "u2"}, {"banned": ["u0"]})
    assert not allows(stranger, {"id": "u0"}, {"banned": ["u0"]})
    assert not allows(stranger, {"id": "u2"}, {})


def test_numbers_that_are_none() -> None:
    rule = Match("==", "number", doc("n"), auth("n"))
    for claim in (float("nan"), float("inf"), 1 << 5000, None, [1]):
        assert not allows(rule, {"n": claim}, {"n": 1})


def test_clauses() -> None:
    owner = Match("==", "string", doc("owner"), auth("id"))
    admin = Match("==", "string", auth("role"), "admin")
    public = Match("==", "bool", doc("public"), True)
    rule = AnyOf((admin, public, AllOf((owner, Match("==", "string", Variable("op", ()), "read")))))
    assert read_grant(rule, None, {"role": "admin"}) == Grant(TRUE)
    assert allows(rule, {"id": "u1"}, {"owner": "u1"})
    assert allows(rule, {"id": "u1"}, {"owner": "u2", "public": True})
    assert not allows(rule, {"id": "u1"}, {"owner": "u2"})
    assert not allows(rule, {"role": "Admin"}, {"owner": None})


ADMIN = Match("==", "string", auth("role"), "admin")
NOT_ADMIN = Match("!=", "string", auth("role"), "admin")


def hidden(rule: Rule, claims: Any) -> tuple[str, ...]:
    return read_grant(rule, None, claims).hidden


def test_remove() -> None:
    rule = AllOf((TOKEN, Remove(("salary", "bank.iban"), NOT_ADMIN)))
    assert hidden(rule, {"role": "clerk"}) == ("salary", "bank.iban")
    assert hidden(rule, {"role": "admin"}) == ()
    assert hidden(rule, {}) == ("salary", "bank.iban")
    assert hidden(rule, {"role": 5}) == ("salary", "bank.iban")
    assert denial(rule) == "unauthenticated"
    of_row = Remove(("salary",), Match("==", "string", doc("owner"), auth("id")))
    assert hidden(of_row, {"id": "u1"}) == ("salary",)


def test_a_claim_that_is_no_value_hides() -> None:
    rule = Remove(("salary",), Match(">", "number", doc("level"), auth("level")))
    for level in (float("nan"), 1 << 5000, "5", None):
        assert hidden(rule, {"level": level}) == ("salary",)


def test_a_rule_without_an_answer_hides_and_lets_nothing_pass() -> None:
    hook = Webhook("https://example.com")
    answers: tuple[Answers, ...] = ({}, {hook: None})
    for unknown in answers:
        assert read_grant(Remove(("salary",), hook), None, {}, TRUE, unknown).hidden == ("salary",)
        with pytest.raises(RequestError):
            read_grant(hook, None, {}, TRUE, unknown)
    assert read_grant(Remove(("salary",), hook), None, {}, TRUE, {hook: False}).hidden == ()


def test_what_any_open_branch_hides_is_hidden() -> None:
    masked = AllOf((TOKEN, Remove(("salary",))))
    assert hidden(AnyOf((ADMIN, masked)), {"role": "admin"}) == ()
    assert hidden(AnyOf((ADMIN, masked)), {"role": "clerk"}) == ("salary",)
    owner = Match("==", "string", doc("owner"), auth("id"))
    assert hidden(AnyOf((owner, masked)), {"id": "u1"}) == ("salary",)
    assert hidden(AnyOf((AllOf((DENY, Remove(("x",)))), TOKEN)), {}) == ()


def test_force() -> None:
    rule = AllOf((TOKEN, Force("tenant", auth("tenant")), Force("note", "hidden", NOT_ADMIN)))
    grant = read_grant(rule, None, {"tenant": "t1", "role": "admin"})
    assert (grant.hidden, grant.forced) == (("tenant",), (("tenant", '"t1"'),))
    grant = read_grant(rule, None, {})
    assert (grant.hidden, grant.forced) == (("tenant", "note"), (("note", '"hidden"'),))
