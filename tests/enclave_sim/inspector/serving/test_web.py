"""The inspector in headless Chromium, served by textual-serve."""

import asyncio
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession, WSCloseCode, WSMessage, WSMsgType, web
from aiohttp.test_utils import TestClient, TestServer
from textual_serve.app_service import AppService

from enclave_sim import Enclave
from enclave_sim.errors import ConfigurationError
from enclave_sim.events import PhaseCompleted
from enclave_sim.inspector.serving.web import _Server, is_welcome, serve
from tests.enclave_sim.inspector.browser import Tab, opened

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
_COMMAND = "from enclave_sim.cli.runs.inspect import inspect; inspect()"
_SERVE = (
    "import sys; from enclave_sim.inspector.serving.web import serve; "
    "import shlex; serve(shlex.join([sys.executable, '-c', sys.argv[2], 'counter']), '127.0.0.1', int(sys.argv[1]))"
)
_BOX = "JSON.stringify(document.querySelector('.xterm-screen').getBoundingClientRect())"
_CLICKED = ("MEM_MAP", "WASM_INIT", "EXEC_LOOP", "PROT_ENTRY")


@contextmanager
def _served() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(port), _COMMAND],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(300)


def _wait_for(port: int) -> None:
    for _ in range(3000):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the server does not listen")


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium")
def test_a_visitor_clicks_through_the_boot_phases(tmp_path: Path) -> None:
    enclave = Enclave("counter")
    enclave.boot()
    assert enclave.recording is not None
    completed = {event.phase: event.at_ns for event in enclave.recording.of_kind(PhaseCompleted)}

    async def visit(url: str) -> bytes:
        async with opened(CHROMIUM, "about:blank", tmp_path) as tab:
            await tab.send("Network.enable")
            await tab.send("Page.enable")
            await tab.send("Page.navigate", url=url)
            await tab.wait_for("beginning")
            tab.forget()
            await tab.key("s")  # without a click first: the inspector has the focus from the start
            await tab.wait_for("1 ns")
            for name in _CLICKED:
                tab.forget()
                await _click(tab, *_place(name))
                await tab.wait_for(f"{completed[name]:,} ns")
            await tab.key("h")
            await tab.wait_for("host_called")
            asked = {urlsplit(one).netloc for one in tab.requested if not one.startswith("data:")}
            assert asked == {urlsplit(url).netloc}, "no other host"
            return await tab.screenshot()

    with _served() as url:
        picture = asyncio.run(visit(url))
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000, "a page of text makes a larger picture than an empty one"
    (tmp_path / "inspector.png").write_bytes(picture)


def _place(name: str) -> tuple[int, int]:
    """Column and row of a phase in the line of phases."""
    line = " +PROT_ENTRY +MEM_MAP +WASM_INIT +EXEC_LOOP"
    return line.index(name) + 1, 1


async def _click(tab: Tab, column: int, row: int) -> None:
    box = json.loads(await tab.evaluate(_BOX))
    columns, rows = tab.size
    await tab.click(box["x"] + (column + 0.5) * box["width"] / columns, box["y"] + (row + 0.5) * box["height"] / rows)


async def _page() -> str:
    app = await _Server("true", "127.0.0.1", 8000)._make_app()
    async with TestClient(TestServer(app, host="127.0.0.1")) as client:
        answer = await client.get("/")
        assert answer.status == 200
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        return await answer.text()


def test_the_page_has_our_name_says_that_it_starts_and_names_no_other_host() -> None:
    text = asyncio.run(_page())
    assert "<title>Enclave Sim: inspector</title>" in text
    assert "The inspector starts" in text
    assert "Textual" not in text
    named = set(re.findall(r"(?:https?|wss?):/*([^/\"'?]+)", text))
    assert named == {"127.0.0.1:8000"}


def test_the_first_thing_seen_is_a_line_of_progress_that_waits_for_no_script() -> None:
    before, _, after = asyncio.run(_page()).partition('<p id="progress">The inspector starts ...</p>')
    assert all(" defer " in script for script in re.findall(r"<script[^>]*>", before))
    assert "starting" in re.findall(r'class="([^"]*)"', before)[-1], "it is on the cover that the first byte takes away"
    assert 'getElementById("progress").textContent = `The inspector starts: ${seconds} s`' in after


def test_a_port_that_is_taken_or_is_none_is_one_clear_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigurationError, match=r"cannot listen at 127\.0\.0\.1"):
            serve("true", "127.0.0.1", taken.getsockname()[1])
    with pytest.raises(ConfigurationError, match="it must be 0 to 65535"):
        serve("true", "127.0.0.1", 1 << 16)


def test_port_0_is_a_free_one_as_for_gdb_and_the_verifier(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[int] = []
    monkeypatch.setattr(_Server, "serve", lambda self: served.append(self.port))
    serve("true", "127.0.0.1", 0)
    assert 0 < served[0] <= 0xFFFF


LOOPBACK = ("127.0.0.2", "127.1", "LOCALHOST", "::ffff:127.0.0.1", "0:0:0:0:0:0:0:1")


@pytest.mark.parametrize(
    ("host", "asked", "origin", "welcome"),
    [
        ("127.0.0.1", "127.0.0.1:8000", None, True),
        ("127.0.0.1", "localhost:8000", "http://localhost:8000", True),
        ("::1", "[::1]:8000", "http://[::1]:8000", True),
        ("127.0.0.1", "127.0.0.1:8000", "https://elsewhere.example", False),
        ("127.0.0.1", "rebound.example:8000", "http://rebound.example:8000", False),
        *((host, "rebound.example:8000", "http://rebound.example:8000", False) for host in LOOPBACK),
        *((host, "127.0.0.1:8000", "http://127.0.0.1:8000", True) for host in LOOPBACK),
        ("127.1", "127.1:8000", "http://127.1:8000", True),
        ("0.0.0.0", "lab.example:8000", "http://lab.example:8000", True),
        ("0.0.0.0", "lab.example:8000", "http://elsewhere.example", False),
    ],
)
def test_pages_of_other_sites_and_foreign_names_are_turned_away(
    host: str, asked: str, origin: str | None, welcome: bool
) -> None:
    assert is_welcome(host, asked, origin) is welcome


@pytest.mark.slow
def test_an_inspector_ends_when_its_server_is_gone_without_a_word() -> None:
    served = {"TEXTUAL_DRIVER": "textual.drivers.web_driver:WebDriver", "COLUMNS": "80", "ROWS": "24"}
    with subprocess.Popen(
        [sys.executable, "-c", _COMMAND, "counter"],
        env={**os.environ, **served, "PYTHONPATH": os.getcwd()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            shown = b""
            while b"beginning" not in shown:
                shown += os.read(process.stdout.fileno(), 1 << 16)
            process.stdin.close()
            process.stdout.read()  # until it closes that
            process.wait(300)
        finally:
            process.kill()


class _Noting(_Server):
    """Keeps the services of its visitors."""

    services: ClassVar[list[AppService]] = []

    async def _process_messages(self, websocket: web.WebSocketResponse, app_service: AppService) -> None:
        self.services.append(app_service)
        await super()._process_messages(websocket, app_service)


async def _told_at_the_end() -> list[WSMessage]:
    """What a visitor who never leaves, and answers no ping, hears from a server that ends."""
    server = _Noting(shlex.join([sys.executable, "-c", _COMMAND, "counter"]), "127.0.0.1", 8000)
    runner = web.AppRunner(await server._make_app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ClientSession() as client:
        url = f"ws://127.0.0.1:{runner.addresses[0][1]}/ws"
        visitor = await client.ws_connect(url, autoping=False, autoclose=False)
        heard = [await visitor.receive()]
        ending = asyncio.create_task(runner.cleanup())
        while heard[-1].type not in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR):
            heard.append(await visitor.receive())
        await visitor.close()
        await ending
    service = _Noting.services.pop()
    assert service._process is not None
    await service._process.wait()
    return heard


@pytest.mark.slow
def test_a_server_that_ends_waits_for_no_visitor() -> None:
    assert (heard := asyncio.run(_told_at_the_end()))[-1].type == WSMsgType.CLOSE
    assert heard[-1].data == WSCloseCode.GOING_AWAY
