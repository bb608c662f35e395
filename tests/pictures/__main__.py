"""`python -m tests.pictures`: makes the README's pictures anew, of the demo at work in a headless Chromium."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from tests.support.browser import Page, open_browser
from tests.support.demo import demo, reachable_folder, send

FOLDER = Path(__file__).parent
QUERY = {
    "db": "sql-postgres",
    "col": "todos",
    "where": '{"done": false, "priority": {"$gte": 2}}',
    "sort": "-priority, title",
    "limit": "12",
}
SECONDS = 12
"""Of the background writer, before the picture is taken."""
SETTLED = 0.5
"""Seconds, until rows that made room stand where they go."""


async def main() -> None:
    with reachable_folder() as folder, demo(folder) as running:
        await send(running.url, "POST", "writer", {"on": True})
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            async with open_browser(Path(profile)) as browser:
                console = await browser.open(f"{running.url}/console#{urlencode(QUERY)}")
                await console.resize(1240, 860)
                await console.command("Emulation.setScrollbarsHidden", hidden=True)
                await console.until("document.querySelector('#state')?.dataset.state === 'live'")
                await asyncio.sleep(SECONDS)
                for scheme in ("light", "dark"):
                    await console.media(prefers_color_scheme=scheme)
                    await take(console, f"console-{scheme}.png")


async def take(page: Page, name: str) -> None:
    """A picture of a row that has just entered."""
    await page.until("!document.querySelector('#rows .leave')")
    await page.evaluate(
        "document.querySelectorAll('#rows .enter').forEach(row => row.classList.remove('enter'))"
    )
    await page.until("document.querySelector('#rows .enter')")
    await asyncio.sleep(SETTLED)
    file = FOLDER / name
    file.write_bytes(await page.screenshot())
    print(f"{file}: {file.stat().st_size // 1024} KB")


asyncio.run(main())
