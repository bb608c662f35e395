"""Fixtures for every test. `tests/` is on the import path: `from servers.postgres import connect`."""

pytest_plugins = ["servers.kafka", "servers.mongo", "servers.mysql", "servers.postgres"]
