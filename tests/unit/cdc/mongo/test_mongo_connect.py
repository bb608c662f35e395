"""Connections to MongoDB."""

from __future__ import annotations

import pytest
from pymongo.hello import Hello
from pymongo.server_description import ServerDescription

from cdc.errors import ConfigError
from cdc.mongo.connect import connect, one_router


@pytest.mark.parametrize("conn", ["mongodb://u:hunter2@h/app?loadBalanced=true", "http://u:hunter2@h", ""])
def test_what_cannot_be_connected_to_is_told_without_secrets(conn):
    with pytest.raises(ConfigError) as refused:
        connect(conn)
    assert "hunter2" not in str(refused.value)


def server(port, **hello):
    return ServerDescription(("db.example", port), Hello({"ok": 1, "maxWireVersion": 17, **hello}))


def test_a_cursor_stays_with_the_mongos_that_opened_it():
    routers = [server(port, msg="isdbgrid") for port in (27019, 27017, 27018)]
    assert one_router(routers) == one_router(routers[::-1]) == [routers[1]]
    assert one_router([routers[0]]) == [routers[0]]


def test_of_a_replica_set_the_primary_is_chosen_as_ever():
    members = [server(port, setName="rs0", secondary=True) for port in (1, 2)]
    assert one_router(members) == members
    assert one_router([]) == []
