from __future__ import annotations

from broadcaster.overlay import Overlay


def test_an_overlay_that_broke_keeps_nothing_more():
    overlay = Overlay(100)
    for number in range(1000):
        overlay.add_deltas([(b"insert", b"%d" % number, b"x" * 60, b"")])
    assert overlay.broken
    assert overlay.over({}) == {}
