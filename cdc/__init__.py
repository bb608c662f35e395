"""Turns a database's own log into change events and appends them to the event log."""

VERSION = "0.1.0"
