"""How large an initial result may be. (pure)"""

from __future__ import annotations

from broadcaster.errors import RequestError


def check_size(rows: int, size: int, max_rows: int, max_bytes: int) -> None:
    """size: the docs' bytes together. Raises RequestError `result_too_large` where there is more than allowed."""
    if rows > max_rows:
        raise _too_large(f"{max_rows} rows (initialRows)")
    if size > max_bytes:
        raise _too_large(f"{max_bytes} bytes (initialBytes)")


def _too_large(than: str) -> RequestError:
    return RequestError("result_too_large", f"the result has more than {than}", "$.where")
