"""Fixtures for every test. `tests/` is on the import path: `from servers.postgres import connect`."""

from hypothesis import HealthCheck, settings

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

pytest_plugins = ["servers.disk", "servers.kafka", "servers.mongo", "servers.mysql", "servers.postgres"]
