"""The console as people use it: in a browser, on `livetail demo`."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.browser import Page, open_page
from tests.support.console import bearer, serving
from tests.support.demo import ROOT, Demo, demo, in_browser, reachable_folder, send
from tests.support.node import with_node

PATIENCE_S = 30


@pytest.fixture(scope="module")
def running() -> Iterator[Demo]:
    """One demo for all tests."""
    with reachable_folder() as made, demo(made) as started:
        yield started


@pytest.fixture
async def page(running: Demo, tmp_path: Path) -> AsyncIterator[Page]:
    async with open_page(f"{running.url}/console", tmp_path) as opened:
        await opened.until("document.querySelector('#state')?.dataset.state === 'live'")
        yield opened
        assert not opened.complaints


def set_to(**fields: str) -> str:
    """JavaScript: fill these fields and run the live query."""
    given = json.dumps(fields)
    return (
        f"for (const [id, value] of Object.entries({given})) document.querySelector('#' + id).value = value;"
        "document.querySelector('#query').requestSubmit()"
    )


def row(title: str) -> str:
    """JavaScript: the row with this title, or undefined."""
    return (
        "[...document.querySelectorAll('#rows tr:not(.leave)')]"
        f".find(row => [...row.cells].some(cell => cell.textContent === {json.dumps(title)}))"
    )


@in_browser
async def test_rows_enter_change_move_and_leave(page: Page, running: Demo) -> None:
    await page.evaluate(set_to(where='{"owner": "you", "done": false}', sort="-priority, title"))
    await page.until("document.querySelector('#count').value === '0'")
    low = (await send(running.url, "POST", "todos", {"title": "Low", "priority": 1}))["id"]
    high = (await send(running.url, "POST", "todos", {"title": "High", "priority": 3}))["id"]
    await page.until(row("Low"))
    await page.until(f"{row('High')}?.classList.contains('enter')")
    order = "[...document.querySelectorAll('#rows tr:not(.leave)')].map(row => row.cells[1].textContent)"
    assert await page.evaluate(order) == ["High", "Low"]

    await send(running.url, "PATCH", f"todos/{low}", {"priority": 4})
    await page.until(f"({order})[0] === 'Low'")
    assert await page.evaluate(f"{row('Low')}.querySelector('.changed').textContent") == "4"
    await send(running.url, "PATCH", f"todos/{high}", {"done": True})
    await page.until(f"!{row('High')}")
    await page.until("!document.querySelector('#rows .leave')")
    assert await page.evaluate("document.querySelector('#count').value") == "1"
    assert await page.evaluate("document.querySelector('#latency').textContent.includes('ms')")
    kinds = "[...document.querySelectorAll('#frames li')].map(frame => frame.className)"
    assert (await page.evaluate(kinds))[:2] == ["diff", "diff"]
    await page.until("document.querySelector('#spoken').textContent.includes('entered')")


@in_browser
async def test_what_is_wrong_is_shown_in_its_place(page: Page) -> None:
    marked = "document.querySelector('#where-marks mark')?.textContent"
    await page.evaluate(set_to(where='{"done": false, "priority": {"$atleast": 3}}'))
    await page.until(f"{marked} === '\"$atleast\"'")
    assert "unknown operator" in await page.evaluate("document.querySelector('#error').textContent")
    assert await page.evaluate("document.querySelector('#where').ariaInvalid") == "true"

    await page.evaluate(set_to(where='{"done": false, priority: 3}'))
    await page.until(f"{marked} === 'priority'")
    await page.evaluate(set_to(where="{}", limit="many"))
    await page.until("document.querySelector('#limit').ariaInvalid === 'true'")
    await page.evaluate(set_to(where="{}", limit="", sort="$title"))
    await page.until("document.querySelector('#sort').ariaInvalid === 'true'")
    page.complaints.clear()  # Chromium reports every refused request

    await page.evaluate(
        "document.querySelector('#sort').value = ''; document.querySelector('#where').focus()"
    )
    await page.command("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", modifiers=2)
    await page.until("document.querySelector('#state').dataset.state === 'live'")
    await page.until("document.querySelector('#result').ariaBusy === 'false'")
    assert await page.evaluate("document.querySelectorAll('[aria-invalid]').length") == 0


@in_browser
async def test_it_tells_of_the_server_keeps_the_query_in_its_address_and_fits_a_phone(page: Page) -> None:
    await page.evaluate(set_to(where='{"owner": "ann", "priority": {"$gte": 2}}', limit="7"))
    queries = "document.querySelector('#queries').textContent"
    await page.until(f"{queries}.includes('limit 7') && {queries}.includes('equality')")
    assert await page.evaluate("document.querySelector('#databases .dot').dataset.ok") == "true"
    assert "ms behind" in await page.evaluate("document.querySelector('#databases').textContent")
    await page.evaluate("document.querySelector('#check').click()")
    await page.until("document.querySelector('#requirements').textContent.includes('wal_level')")
    assert await page.evaluate("document.querySelectorAll('#requirements .unmet').length") == 0

    await page.evaluate(set_to(where='{"owner": "eve"}', sort="title", limit="3", select="title"))
    await page.until("location.hash.includes('eve')")
    await page.command("Page.reload")
    await page.until("document.querySelector('#shown')?.textContent.includes('eve')")
    assert await page.evaluate("document.querySelector('#sort').value") == "title"
    await page.until("document.querySelectorAll('#columns th').length === 2")

    await page.evaluate("document.querySelector('#aggregates').open = true")
    await page.evaluate(set_to(where="", aggregate="count as n, max priority", groupBy="done"))
    names = "[...document.querySelectorAll('#columns th')].map(cell => cell.textContent).join()"
    await page.until(f"{names} === 'done,n,max_priority'")
    await page.until(f"{queries}.includes('group by done')")

    for width in (360, 800, 1400):
        await page.resize(width, 800)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    unnamed = (
        "[...document.querySelectorAll('button, input, select, textarea')].filter(e => "
        "!e.textContent.trim() && !e.ariaLabel && !e.labels?.length).length"
    )
    assert await page.evaluate(unnamed) == 0


@in_browser
async def test_in_production_it_asks_for_a_token(tmp_path: Path) -> None:
    async with serving(console=True, host=None) as (url, _, _), open_page(url, tmp_path) as page:
        await page.until("document.querySelector('#token-form')?.hidden === false")
        assert await page.evaluate("document.querySelector('main').hidden")
        for token in ("nonsense", bearer()["Authorization"].removeprefix("Bearer ")):
            await page.until("document.activeElement === document.querySelector('#token')")
            await page.evaluate("document.querySelector('#token').select()")
            await page.type(token)
            await page.press("Enter")
            if token == "nonsense":
                await page.until("document.querySelector('#note').textContent.includes('not valid')")
        await page.until("document.querySelector('#state').dataset.state === 'live'")
        assert await page.evaluate("document.querySelector('#token-form').hidden")


async def follows(*command: str, wanted: bytes, **environment: str) -> None:
    """What the console shows as code, run until it prints this."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    said = b""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while wanted not in said:
                part = await process.stdout.read(1 << 16)
                assert part, said.decode()
                said += part
    finally:
        process.kill()
        await process.communicate()


@in_browser
@with_node
async def test_the_code_that_it_shows_works(page: Page, tmp_path: Path) -> None:
    await page.evaluate(
        set_to(where='{"owner": {"$ne": "O\'Hara"}}', sort="-priority", limit="3", select="title")
    )
    await page.until("document.querySelector('#code').textContent.includes('Hara')")
    code = {}
    for kind in ("curl", "javascript", "python"):
        await page.evaluate(f"document.querySelector('#tab-{kind}').click()")
        code[kind] = await page.evaluate("document.querySelector('#code').textContent")
    program = tmp_path / "follow.mjs"
    url = await page.evaluate("location.origin")
    client = (ROOT / "broadcaster/static/livetail.js").as_uri()
    program.write_text(code["javascript"].replace(f"{url}/livetail.js", client))
    await follows("sh", "-c", f"exec {code['curl']}", wanted=b"event: ready")
    await follows(sys.executable, "-uc", code["python"], wanted=b"initial", PYTHONPATH=str(ROOT))
    await follows("node", str(program), wanted=b"initial")
