"""Turns a database's own log into change events and appends them to the event log."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("livetail")
except PackageNotFoundError:  # a source tree that was never installed
    VERSION = "0"
