"""Headless Chromium, controlled by its DevTools protocol."""

import asyncio
import base64
import itertools
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse

_OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--remote-debugging-port=0", "--window-size=1100,760", "--force-device-scale-factor=1"),
)


class Tab:
    """A page in the browser."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.requested: list[str] = []
        """The URLs that the page has requested."""
        self.received = ""
        """The inspector's output to the page's terminal."""
        self.size = (0, 0)
        """Columns and rows of that terminal, as reported by the page."""

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            answer = await self._socket.receive_json()
            self._note(answer)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _note(self, message: dict[str, Any]) -> None:
        if message.get("method") == "Network.requestWillBeSent":
            self.requested.append(message["params"]["request"]["url"])
        if message.get("method") == "Network.webSocketFrameReceived":
            data = message["params"]["response"]["payloadData"]
            if message["params"]["response"]["opcode"] == 2:
                self.received += base64.b64decode(data).decode("utf-8", "replace")
        elif message.get("method") == "Network.webSocketFrameSent":
            data = message["params"]["response"]["payloadData"]
            if data.startswith('["resize"'):
                told = json.loads(data)[1]
                self.size = (told["width"], told["height"])

    async def wait_for(self, text: str) -> None:
        """Wait until the inspector has written the text since the last `forget`."""
        for _ in range(6000):
            if text in self.received:
                return
            await self.evaluate("0")
            await asyncio.sleep(0.05)
        raise TimeoutError(f"the page never had {text!r}; it had {self.received[-2000:]!r}")

    def forget(self) -> None:
        """Drop what was received so far."""
        self.received = ""

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        found = await self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    async def click(self, x: float, y: float) -> None:
        """Click the left button at a position of the page in pixels."""
        for kind in ("mousePressed", "mouseReleased"):
            await self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def key(self, text: str) -> None:
        """Press a character key."""
        for kind in ("keyDown", "keyUp"):
            code = f"Key{text.upper()}"
            await self.send(
                "Input.dispatchKeyEvent", type=kind, text=text if kind == "keyDown" else "", key=text, code=code
            )

    async def screenshot(self) -> bytes:
        """The page as PNG."""
        found = await self.send("Page.captureScreenshot", format="png")
        return base64.b64decode(found["data"])


@asynccontextmanager
async def opened(chromium: str, url: str, profile: Path) -> AsyncIterator[Tab]:
    """Open a tab at a URL."""
    process = await asyncio.create_subprocess_exec(
        *(chromium, *_OPTIONS, f"--user-data-dir={profile}", url),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        port = await asyncio.wait_for(_port(process), 300)
        async with ClientSession() as session:
            address = await _page(session, port, url)
            async with session.ws_connect(address, max_msg_size=1 << 26) as socket:
                yield Tab(socket)
    finally:
        process.terminate()
        await process.communicate()


async def _port(process: asyncio.subprocess.Process) -> int:
    assert process.stderr is not None
    while line := await process.stderr.readline():
        found = re.search(rb"DevTools listening on ws://[^:]+:(\d+)/", line)
        if found is not None:
            return int(found[1])
    raise RuntimeError("Chromium ended before it listened")


async def _page(session: ClientSession, port: int, url: str) -> str:
    while True:
        async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            pages = json.loads(await answer.text())
        for page in pages:
            if page["type"] == "page" and page["url"].startswith(url):
                address: str = page["webSocketDebuggerUrl"]
                return address
        await asyncio.sleep(0.05)
