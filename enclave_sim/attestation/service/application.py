"""The verifier over HTTP: an ASGI application. docs/verifier-service.md defines requests, answers and statuses.

Every answer is one JSON object; every error is `{"error": ..., "message": ...}`. Judging runs in a separate thread, so
that the event loop can read other requests meanwhile.
"""

import asyncio
import json
import sqlite3
from contextlib import aclosing
from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from enclave_sim.attestation.service.errors import RequestRefused
from enclave_sim.attestation.service.protocol import (
    EVIDENCE_TYPE,
    JSON_TYPE,
    MAX_EVIDENCE_BYTES,
    MAX_REQUEST_BYTES,
    ChallengeRequest,
)
from enclave_sim.attestation.service.verifier import Verifier
from enclave_sim.reasons import reason

BODY_TIMEOUT_S = 10.0
"""Seconds within which a request's complete body must arrive."""
DEFAULT_LISTED, MAX_LISTED = 100, 1000
_KINDS = {None: None, "true": True, "false": False}


def application(verifier: Verifier) -> Starlette:
    """Return the ASGI application that serves a verifier."""
    endpoints = _Endpoints(verifier)
    app = Starlette(
        routes=[
            Route("/challenge", endpoints.challenge, methods=["POST"]),
            Route("/evidence", endpoints.evidence, methods=["POST"]),
            Route("/verdicts", endpoints.verdicts, methods=["GET"]),
            Route("/verdicts/{challenge}", endpoints.verdict, methods=["GET"]),
            Route("/health", endpoints.health, methods=["GET"]),
        ],
        exception_handlers={
            RequestRefused: _refused,
            HTTPException: _http_error,
            sqlite3.Error: _database_error,
            Exception: _defect,
        },
    )
    app.router.redirect_slashes = False
    return app


class _Endpoints:
    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    async def challenge(self, request: Request) -> Response:
        body = await _body(request, JSON_TYPE, MAX_REQUEST_BYTES)
        try:
            wanted = msgspec.json.decode(body, type=ChallengeRequest)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise RequestRefused(
                HTTPStatus.BAD_REQUEST,
                "request_malformed",
                f'the body is not {{"cycle": 0 to 4294967295, "ak": Name of AK 1 in hex, or null}}: {reason(error)}',
            ) from None
        ak_name = None if wanted.ak is None else bytes.fromhex(wanted.ak)
        challenge = await run_in_threadpool(self._verifier.issue, wanted.cycle, ak_name)
        return _json(
            {
                "challenge": challenge.id,
                "nonce": challenge.nonce.hex(),
                "expires_in_s": self._verifier.nonce_lifetime_ns / 1e9,
            }
        )

    async def evidence(self, request: Request) -> Response:
        challenge_id = _parameter(request, "challenge")
        if challenge_id is None:
            raise RequestRefused(
                HTTPStatus.BAD_REQUEST,
                "challenge_missing",
                "say which challenge is answered: POST /evidence?challenge=ID",
            )
        body = await _body(request, EVIDENCE_TYPE, MAX_EVIDENCE_BYTES)
        return _answer(await run_in_threadpool(self._verifier.judge, challenge_id, body))

    async def verdict(self, request: Request) -> Response:
        return _answer(await run_in_threadpool(self._verifier.verdict, request.path_params["challenge"]))

    async def verdicts(self, request: Request) -> Response:
        text = _parameter(request, "limit") or str(DEFAULT_LISTED)
        limit = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_LISTED)) else 0
        if not 1 <= limit <= MAX_LISTED:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, "limit_malformed", f"limit must be 1 to {MAX_LISTED}")
        kind = _parameter(request, "accepted")
        if kind not in _KINDS:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, "accepted_malformed", "accepted must be true or false")
        newest = await run_in_threadpool(partial(self._verifier.newest_verdicts, limit, accepted=_KINDS[kind]))
        return _answer(f'{{"verdicts": [{", ".join(newest)}]}}')

    async def health(self, _request: Request) -> Response:
        await run_in_threadpool(self._verifier.database.check)
        return _json({"status": "ok"})


async def _body(request: Request, content_type: str, limit: int) -> bytes:
    """Read a body of one type and of at most `limit` bytes. Raises RequestRefused."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != content_type:
        raise RequestRefused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content_type", f"the content type must be {content_type}"
        )
    announced = request.headers.get("content-length", "")
    too_large = announced.isdigit() and (len(announced) > 18 or int(announced) > limit)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S), aclosing(request.stream()) as chunks:
            while not too_large and (chunk := await anext(chunks, None)) is not None:
                body += chunk
                too_large = len(body) > limit
    except TimeoutError:
        raise RequestRefused(
            HTTPStatus.REQUEST_TIMEOUT, "body_slow", f"the body did not arrive within {BODY_TIMEOUT_S:g} s"
        ) from None
    except ClientDisconnect:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "body_cut", "the body ended before it was complete") from None
    if too_large:
        raise RequestRefused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", f"the body must not exceed {limit} bytes"
        )
    return bytes(body)


def _parameter(request: Request, name: str) -> str | None:
    """Return a query parameter, or None if it is missing. Raises RequestRefused if it is given twice."""
    values = request.query_params.getlist(name)
    if len(values) > 1:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, f"{name}_malformed", f"{name} must be given once")
    return values[0] if values else None


def _answer(text: str, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
    return Response(text, status, {"Cache-Control": "no-store", **(headers or {})}, JSON_TYPE)


def _json(content: dict[str, Any], status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
    return _answer(json.dumps(content), status, headers)


def _error(status: int, error: str, message: str, headers: dict[str, str] | None = None) -> Response:
    return _json({"error": error, "message": message}, status, headers)


async def _refused(_request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, RequestRefused)
    return _error(refusal.status, refusal.error, str(refusal))


async def _http_error(request: Request, error: Exception) -> Response:
    """Answer requests refused by the framework: an unknown path, a wrong method."""
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    headers = dict(error.headers or {})
    return _error(
        error.status_code, phrase.lower().replace(" ", "_"), f"{request.method} {request.url.path}: {phrase}", headers
    )


async def _database_error(_request: Request, error: Exception) -> Response:
    """Answer that the database failed. Nothing was accepted: the transaction has been rolled back."""
    return _error(HTTPStatus.SERVICE_UNAVAILABLE, "database", f"the database cannot be used: {reason(error)}")


async def _defect(_request: Request, _error_raised: Exception) -> Response:
    return _error(HTTPStatus.INTERNAL_SERVER_ERROR, "defect", "the verifier is at fault; its log says where")
