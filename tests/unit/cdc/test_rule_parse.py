"""Rules and `auth` out of the configuration file."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from cdc.config import Auth, Config
from cdc.config_parse import parse
from cdc.config_reader import Secret
from cdc.errors import ConfigError
from cdc.rule import AllOf, Allow, AnyOf, Authenticated, Match, Query, Rule, Variable, Webhook

PATH = "modules.crud.sql-postgres.collections.todos.rules.read"
SECRET = "s" * 32
OWNER = {"rule": "match", "eval": "==", "type": "string", "f1": "args.auth.id", "f2": "args.doc.owner.id"}


def config_of(read: Any, **top: Any) -> Config:
    collections = {"todos": {"isRealtimeEnabled": True, "rules": {"read": read}}}
    given = {
        "id": "todo-app",
        "modules": {"crud": {"sql-postgres": {"conn": "postgresql://u@h/d", "collections": collections}}},
        **top,
    }
    return parse(yaml.safe_dump(given), {}, "f.yaml")


def rule_of(read: Any) -> Rule | None:
    return config_of(read, secret=SECRET).databases["sql-postgres"].collections["todos"].read


def refusal(read: Any, **top: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        config_of(read, **top)
    message = str(refused.value)
    assert SECRET not in message
    return message.partition(": ")[2]


def match(**fields: Any) -> dict[str, Any]:
    return OWNER | fields


def test_rules() -> None:
    assert rule_of({"rule": "authenticated"}) == Authenticated()
    assert rule_of(OWNER) == Match(
        "==", "string", Variable("auth", ("id",)), Variable("doc", ("owner", "id"))
    )
    both = {"rule": "and", "clauses": [OWNER, {"rule": "or", "clauses": [{"rule": "allow"}]}]}
    assert rule_of(both) == AllOf((rule_of(OWNER), AnyOf((Allow(),))))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("string", "admin", "admin"),
        ("string", 5, "5"),
        ("number", 5, 5),
        ("number", "-1.5e3", -1500.0),
        ("bool", True, True),
        ("date", "2026-01-31", "2026-01-31"),
    ],
)
def test_constants(kind: str, given: Any, value: Any) -> None:
    rule = rule_of(match(type=kind, f2=given))
    assert isinstance(rule, Match)
    assert (rule.f2, type(rule.f2)) == (value, type(value))
    listed = rule_of(match(type=kind, eval="in", f2=[given, given]))
    assert isinstance(listed, Match)
    assert listed.f2 == (value, value)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"eval": "="}, "eval: must be one of ==, !=, >, >=, <, <=, in, notIn, not '='"),
        ({"type": "int"}, "type: must be one of string, number, bool, date"),
        ({"f1": "args.doc.a"}, "one of `f1` and `f2` must not be of args.doc"),
        ({"f1": "args.token"}, "f1: no such variable; there are args.auth, args.find, args.doc, args.op"),
        ({"f1": "args.auth"}, "f1: args.auth needs a field, as args.auth.id"),
        ({"f1": "args.op.x"}, "f1: args.op has nothing below it"),
        ({"f1": "args.auth..x"}, "f1: no such variable"),
        ({"f1": ["a"]}, "f1: a list stands in `f2` only, with `in` or `notIn`"),
        ({"f2": ["a"]}, "f2: a list stands in `f2` only, with `in` or `notIn`"),
        ({"eval": "in", "f2": "a"}, "f2: `in` takes a list, or a variable that is one"),
        ({"eval": "in", "f2": []}, "f2: must not be an empty list"),
        ({"type": "number", "f2": "five"}, "f2: must be a number, or a variable"),
        ({"type": "number", "f2": "1e999"}, "f2: is too large for a number"),
        ({"type": "bool", "f2": "yes"}, "f2: must be true or false, not 'yes'"),
        ({"type": "date", "f2": "soon"}, "f2: must be a date in ISO 8601"),
        ({"f3": 1}, "f3: unknown key; did you mean"),
    ],
)
def test_matches_refused(fields: dict[str, Any], says: str) -> None:
    assert says in refusal(match(**fields), secret=SECRET)


def test_other_rules_refused() -> None:
    assert (
        refusal({"rule": "and", "clauses": []}, secret=SECRET)
        == f"{PATH}.clauses: must hold at least one rule"
    )
    assert "`clauses` is missing; the rule `or` has rule, clauses" in refusal({"rule": "or"}, secret=SECRET)
    assert "`f2` is missing" in refusal({key: OWNER[key] for key in OWNER if key != "f2"}, secret=SECRET)
    deep: Any = {"rule": "allow"}
    for _ in range(9):
        deep = {"rule": "and", "clauses": [deep]}
    assert "nested more than 8 levels deep" in refusal(deep, secret=SECRET)
    nested = {"rule": "or", "clauses": [{"rule": "allow"}, {"rule": "alow"}]}
    assert refusal(nested, secret=SECRET).startswith(f"{PATH}.clauses[1].rule: must be one of")


def test_rules_that_ask_others() -> None:
    find = {"user": "args.auth.id", "kind": "5", "level": 5, "on": True}
    rule = rule_of({"rule": "query", "db": "sql-postgres", "col": "todos", "find": find})
    assert isinstance(rule, Query)
    assert (rule.database, rule.collection) == ("sql-postgres", "todos")
    assert dict(rule.find) == {"user": Variable("auth", ("id",)), "kind": "5", "level": 5, "on": True}
    assert rule_of({"rule": "webhook", "url": "https://a.example/x"}) == Webhook("https://a.example/x")
    other = {"rule": "query", "db": "sql-postgres", "col": "members", "find": find}
    assert "there is no live collection 'members'" in refusal(other, secret=SECRET)
    assert "cannot be of args.doc" in refusal(other | {"find": {"a": "args.doc.b"}}, secret=SECRET)
    assert "find: must name at least one field" in refusal(other | {"find": {}}, secret=SECRET)
    assert "must be an https:// URL" in refusal({"rule": "webhook", "url": "http://a.example"}, secret=SECRET)


def test_rules_that_need_a_token_need_a_way_to_check_it() -> None:
    assert "this needs tokens" in refusal({"rule": "authenticated"})
    config_of({"rule": "or", "clauses": [{"rule": "deny"}, {"rule": "allow"}]})


def test_auth() -> None:
    allow = {"rule": "allow"}
    assert config_of(allow).auth is None
    assert config_of(allow, secret=SECRET).auth == Auth("HS256", Secret(SECRET))
    jwks = {"jwks": "https://id.example/keys", "issuer": "https://id.example"}
    assert config_of(allow, auth=jwks).auth == Auth(
        "RS256", jwks="https://id.example/keys", issuer="https://id.example"
    )
    assert config_of(allow, auth={"publicKey": "PEM", "algorithm": "EdDSA"}).auth == Auth(
        "EdDSA", Secret("PEM")
    )


@pytest.mark.parametrize(
    ("top", "says"),
    [
        ({"auth": {}}, "auth: `publicKey` (PEM) or `jwks` (a URL) is missing"),
        (
            {"auth": {"jwks": "https://a/b", "publicKey": "x"}},
            "auth: tokens are checked with `publicKey` or with",
        ),
        (
            {"secret": SECRET, "auth": {"jwks": "https://a/b"}},
            "auth.jwks: tokens are checked with `secret` or with",
        ),
        (
            {"secret": SECRET, "auth": {"algorithm": "RS256"}},
            "auth.algorithm: must be one of HS256, HS384, HS512",
        ),
        ({"auth": {"publicKey": "x", "algorithm": "HS256"}}, "auth.algorithm: must be one of RS256"),
        ({"secret": SECRET, "auth": {"algorithm": "none"}}, "auth.algorithm: must be one of"),
        ({"auth": {"jwks": "http://id.example/keys"}}, "auth.jwks: must be an https:// URL"),
        ({"secret": SECRET, "auth": {"cookie": "a b"}}, "auth.cookie: must be a cookie's name"),
        ({"secret": SECRET, "auth": {"leway": "1s"}}, "auth.leway: unknown key; did you mean `leeway`?"),
    ],
)
def test_auth_refused(top: dict[str, Any], says: str) -> None:
    assert says in refusal({"rule": "allow"}, **top)
