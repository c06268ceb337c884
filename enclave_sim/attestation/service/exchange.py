"""One HTTP exchange with a verifier that may be down, slow or hostile.

One time limit covers the whole exchange: resolving the name, connecting, the TLS handshake, every header and every byte
of the body. Blocking reads cannot guarantee that, because a peer that sends one byte a second resets their timeouts. So
the exchange is asynchronous, in its own event loop, and is cancelled as a whole. The loop has its own thread, because
the caller may already run in an event loop.
"""

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from enclave_sim.attestation.service.errors import VerifierUnavailable
from enclave_sim.attestation.service.protocol import JSON_TYPE, MAX_ANSWER_BYTES
from enclave_sim.errors import ConfigurationError, installing
from enclave_sim.reasons import reason

if TYPE_CHECKING:
    import httpcore
    import httpx

_SHOWN = 200
"""Maximum number of characters of a verifier's text in a message."""
_GRACE_S = 1.0
"""Seconds. A name server query cannot be interrupted: after this time its thread is abandoned."""


@dataclass(frozen=True, slots=True)
class Post:
    """A POST request. `timeout_s`, in seconds, covers all of it; `tls` has the trusted certificates, for https."""

    url: str
    content_type: str
    body: bytes
    timeout_s: float
    tls: ssl.SSLContext | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer with any status."""

    status: int
    body: bytes


def exchange(post: Post) -> Answer:
    """Send a request and return the answer. Raises VerifierUnavailable if there is no readable answer."""
    try:
        import httpx  # noqa: F401, PLC0415 - here, in the caller's thread and outside the time limit
    except ImportError:
        raise ConfigurationError(f"a verifier is asked with httpx: {installing('verifier')}") from None
    outcome: Future[Answer] = Future()

    def run() -> None:
        try:
            outcome.set_result(asyncio.run(_within_time(post)))
        except BaseException as error:  # noqa: BLE001 - carried to the thread that waits
            outcome.set_exception(error)

    threading.Thread(target=run, name="verifier exchange", daemon=True).start()
    try:
        return outcome.result(post.timeout_s + _GRACE_S)
    except TimeoutError:
        raise VerifierUnavailable(f"{post.url}: no complete answer within {post.timeout_s:g} s") from None


async def _within_time(post: Post) -> Answer:
    import httpx  # noqa: PLC0415

    streams: list[httpcore.AsyncNetworkStream] = []

    async def trace(event: str, details: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            streams.append(details["return_value"])

    try:
        async with asyncio.timeout(post.timeout_s):
            return await _send(post, trace)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        if isinstance(error, TimeoutError):
            raise
        raise VerifierUnavailable(f"{post.url}: {shown(reason(error))}") from None
    finally:
        for stream in streams:  # cancelling a TLS handshake leaves its connection open
            await stream.aclose()


async def _send(post: Post, trace: Callable[[str, dict[str, Any]], Awaitable[None]]) -> Answer:
    import httpx  # noqa: PLC0415

    headers = {"Content-Type": post.content_type, "Accept": JSON_TYPE, "Accept-Encoding": "identity"}
    async with (
        # The environment's proxies are for browsers; they must not decide who judges this node.
        httpx.AsyncClient(verify=post.tls or False, trust_env=False, timeout=None, follow_redirects=False) as client,
        client.stream("POST", post.url, content=post.body, headers=headers, extensions={"trace": trace}) as response,
    ):
        _check(post, response)
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise VerifierUnavailable(f"{post.url}: the answer is longer than {MAX_ANSWER_BYTES} bytes")
        return Answer(response.status_code, bytes(body))


def _check(post: Post, response: "httpx.Response") -> None:
    if HTTPStatus.MULTIPLE_CHOICES <= response.status_code < HTTPStatus.BAD_REQUEST:
        raise VerifierUnavailable(
            f"{post.url}: the answer is a redirect (status {response.status_code}), which is not followed;"
            " give the verifier's own URL"
        )
    if "content-encoding" in response.headers:
        raise VerifierUnavailable(f"{post.url}: the answer is encoded, which was not requested")


def shown(text: str) -> str:
    """Return untrusted text for a message: one line, of limited length, with unprintable characters escaped."""
    line = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in " ".join(text.split())
    )
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "..."
