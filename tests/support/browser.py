"""A headless Chromium, driven through its DevTools protocol (https://chromedevtools.github.io/devtools-protocol/)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""The browser's path; None where there is none."""

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0"),
)
_START_SECONDS = 20.0
_WAIT_SECONDS = 15.0


class Page:
    """One tab. `complaints` collects what its scripts threw and what the console was told of errors."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.complaints: list[str] = []
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol; its result."""
        number = next(self._ids)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        answer = await asyncio.wait_for(self._answers[number], _WAIT_SECONDS)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    async def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression, awaited if it is a promise."""
        answer = await self.command(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            raise AssertionError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    async def until(self, script: str) -> None:
        """Wait until the expression is true in JavaScript's eyes."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while not await self.evaluate(f"!!({script})"):
            if time.monotonic() > deadline:
                text = await self.evaluate("document.body.innerText")
                raise AssertionError(f"never true: {script}\ncomplaints: {self.complaints}\npage:\n{text}")
            await asyncio.sleep(0.02)

    async def press(self, key: str) -> None:
        """A key on the keyboard, such as `Enter`."""
        text = {"Enter": "\r"}.get(key, "")
        await self.command("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, text=text)
        await self.command("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)

    async def type(self, text: str) -> None:
        """Text into what has the focus."""
        await self.command("Input.insertText", text=text)

    async def media(self, **features: str) -> None:
        """Emulate media features, as prefers_color_scheme="dark"."""
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        await self.command("Emulation.setEmulatedMedia", features=named)

    async def resize(self, width: int, height: int) -> None:
        """The viewport, in CSS pixels."""
        await self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def screenshot(self) -> bytes:
        """The viewport as PNG."""
        return base64.b64decode((await self.command("Page.captureScreenshot", format="png"))["data"])

    async def read(self) -> None:
        """Take what the browser says, until it is gone."""
        async for message in self._socket:
            data = json.loads(message.data)
            if "id" in data:
                self._answers.pop(data["id"]).set_result(data)
            else:
                self._notice(data["method"], data["params"])

    def _notice(self, method: str, parameters: Mapping[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.complaints.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")


class Browser:
    """A Chromium with its tabs, which share their storage, locks and channels."""

    def __init__(self, session: aiohttp.ClientSession, port: int, stack: contextlib.AsyncExitStack) -> None:
        self._session = session
        self._port = port
        self._stack = stack

    async def open(self, url: str) -> Page:
        """Another tab."""
        async with self._session.put(f"http://127.0.0.1:{self._port}/json/new?about:blank") as response:
            target = (await response.json())["webSocketDebuggerUrl"]
        socket = await self._stack.enter_async_context(self._session.ws_connect(target, max_msg_size=0))
        page = Page(socket)
        await self._stack.enter_async_context(_reading(page))
        for domain in ("Runtime", "Log", "Page"):
            await page.command(f"{domain}.enable")
        await page.command("Page.navigate", url=url)
        return page


@contextlib.asynccontextmanager
async def _reading(page: Page) -> AsyncIterator[None]:
    reading = asyncio.create_task(page.read())
    try:
        yield
    finally:
        reading.cancel()
        await asyncio.wait({reading})


@contextlib.asynccontextmanager
async def open_browser(profile: Path) -> AsyncIterator[Browser]:
    """A browser of its own; profile: an empty folder for it."""
    process = await asyncio.to_thread(_start, profile)
    try:
        port = await _port(process, profile)
        async with aiohttp.ClientSession() as session, contextlib.AsyncExitStack() as stack:
            yield Browser(session, port, stack)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


@contextlib.asynccontextmanager
async def open_page(url: str, profile: Path) -> AsyncIterator[Page]:
    """The page at `url` in a browser of its own; profile: an empty folder for the browser."""
    async with open_browser(profile) as browser:
        yield await browser.open(url)


def _start(profile: Path) -> subprocess.Popen[bytes]:
    assert PROGRAM is not None
    with (profile / "chromium.log").open("wb") as log:
        return subprocess.Popen([PROGRAM, *_FLAGS, f"--user-data-dir={profile}"], stdout=log, stderr=log)


async def _port(process: subprocess.Popen[bytes], profile: Path) -> int:
    """The port that Chromium chose; it writes it to a file of its profile."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(FileNotFoundError, IndexError, ValueError):
            return int((profile / "DevToolsActivePort").read_text().splitlines()[0])
        await asyncio.sleep(0.02)
    raise AssertionError(f"Chromium did not start: {(profile / 'chromium.log').read_text()[-2000:]}")
