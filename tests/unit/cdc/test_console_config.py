"""`modules.realtime.console`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cdc.config_parse import parse
from cdc.errors import ConfigError
from cdc.rule import Allow, Authenticated, Rule


def console(value: Any, **top: Any) -> Rule | None:
    config = {"id": "app", "modules": {"realtime": {"console": value}, "crud": {}}, **top}
    return parse(json.dumps(config), {}).realtime.console


SECRET = {"secret": "a secret of more than thirty-two bytes"}


def test_who_may_use_it() -> None:
    assert console(True, **SECRET) == Authenticated()
    assert console(False) is None
    assert console({"rule": "allow"}) == Allow()


@pytest.mark.parametrize(
    ("value", "top", "message"),
    [
        (True, {}, "modules.realtime.console: this needs tokens"),
        ("yes please", {}, "modules.realtime.console"),
        ({"rule": "webhook", "url": "https://a.example"}, SECRET, "only the token can decide"),
        ({"rule": "alow"}, {}, "allow"),
    ],
)
def test_what_it_cannot_be(value: Any, top: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        console(value, **top)
