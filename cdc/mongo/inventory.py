"""Which collections a MongoDB's database has."""

from __future__ import annotations

from pymongo.errors import PyMongoError

from cdc.mongo.connect import connect, explain
from cdc.mongo.target import Target


async def inventory(target: Target) -> dict[str, str]:
    """By name, how requirements call the collection. Raises SourceUnavailable."""
    client = connect(target.conn)
    try:
        found = await client[target.database].list_collections()
        names = sorted([described["name"] async for described in found])
    except PyMongoError as error:
        raise explain(target, error) from error
    finally:
        await client.close()
    return {name: f"collection {name}" for name in names if not name.startswith("system.")}
