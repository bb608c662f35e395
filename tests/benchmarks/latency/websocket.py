"""As much of a WebSocket client (RFC 6455) as subscribing takes."""

from __future__ import annotations

import socket

_FINAL_TEXT, _MASKED = 0x81, 0x80


def upgrade(connection: socket.socket, host: str, path: str, protocol: str = "") -> None:
    """Ask for a WebSocket, and wait until it is there. protocol: for `Sec-WebSocket-Protocol`."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        *([f"Sec-WebSocket-Protocol: {protocol}"] if protocol else []),
    ]
    connection.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
    told = until(connection, b"\r\n\r\n")
    if not told.startswith(b"HTTP/1.1 101 "):
        raise SystemExit(f"no WebSocket at {path[:80]}: {told[:300]!r}")


def text_frame(message: bytes) -> bytes:
    """A client's text frame (§5.2), masked with zeros."""
    size = len(message)
    head = bytes([_MASKED | size]) if size < 126 else bytes([_MASKED | 126]) + size.to_bytes(2, "big")
    return bytes([_FINAL_TEXT]) + head + bytes(4) + message


def until(connection: socket.socket, end: bytes) -> bytes:
    """Read until this has come; all that was read."""
    told = b""
    while end not in told:
        part = connection.recv(1 << 16)
        if not part:
            raise SystemExit(f"the server closed the connection after {told[-300:]!r}")
        told += part
    return told
