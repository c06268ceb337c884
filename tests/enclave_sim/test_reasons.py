"""Reasons in our own words."""

import sqlite3
import ssl
import tomllib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated

import httpx
import msgspec
import pytest

from enclave_sim.errors import ConfigurationError
from enclave_sim.reasons import reason

FOREIGN = ("Expected `", "Object ", "JSON is malformed", "Input data", "Invalid value", "(at line", "[Errno", "`$")


class _Door(msgspec.Struct, tag="door", forbid_unknown_fields=True):
    width: int
    names: list[str] = []
    height: Annotated[int, msgspec.Meta(ge=1, le=5)] = 1
    rooms: dict[str, int] = {}
    pair: tuple[int, int] = (1, 2)
    text: Annotated[str, msgspec.Meta(max_length=3)] = ""

    def __post_init__(self) -> None:
        if self.width == 13:
            raise ValueError("a width of 13 is unlucky")


class _House(msgspec.Struct, tag="house"):
    door: _Door


def raised(action: Callable[[], object]) -> str:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any
        action()
    found = reason(caught.value)
    assert not any(words in found for words in FOREIGN), found
    assert "\n" not in found
    return found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"type": "door", "width": "1"}', "width is a text; it must be a whole number"),
        ('{"type": "door", "width": null}', "width is null; it must be a whole number"),
        ('{"type": "door", "width": 1.5}', "width is a number; it must be a whole number"),
        ('{"type": "door", "width": 1, "names": [1]}', "names[0] is a whole number; it must be a text"),
        ('{"type": "door", "width": 1, "names": {}}', "names is an object with named fields; it must be a list"),
        ('{"type": "door", "width": 1, "height": 9}', "height must be at most 5"),
        ('{"type": "door", "width": 1, "height": 0}', "height must be at least 1"),
        ('{"type": "door", "width": 1, "text": "long"}', "text is too long; the maximum is 3"),
        ('{"type": "door", "width": 1, "pair": [1]}', "pair does not have 2 entries"),
        ('{"type": "door", "width": 1, "rooms": {"hall": ""}}', "rooms[...] is a text; it must be a whole number"),
        ('{"type": "door", "width": 13}', "a width of 13 is unlucky"),
        ('{"type": "house", "door": {"type": "door", "width": 13}}', "door: a width of 13 is unlucky"),
        ('{"type": "house", "door": {"type": "door"}}', "door: width is missing"),
        ('{"type": "house", "door": {"type": "door", "width": 1, "k": 1}}', "door: k is unknown"),
        ('{"type": "door"}', "width is missing"),
        ('{"type": "gate"}', "type is 'gate', which is not one of the possible values"),
        ('{"type": 5}', "type must be a text"),
        ("{}", "type is missing"),
        ("[]", "it is a list; it must be an object with named fields"),
        ("", "it ends before its data are complete"),
        ('{"type"', "it ends before its data are complete"),
        ('{"type": "door", "width": 1} 2', "something follows the JSON, at byte 30"),
        ("{type}", "it is not JSON at byte 1"),
    ],
)
def test_json_of_another_form_is_refused_with_the_place_and_what_would_be_right(text: str, why: str) -> None:
    assert raised(lambda: msgspec.json.decode(text, type=_Door | _House)) == why


def test_bytes_that_are_no_json_or_messagepack() -> None:
    assert raised(lambda: msgspec.json.decode(b'"\xff"')) == "it is not UTF-8 text"
    assert raised(lambda: msgspec.msgpack.decode(b"\xc1")) == "its data are damaged at byte 0"
    assert raised(lambda: msgspec.json.decode(b"[" * 100_000)) == "it is nested too deeply"
    assert raised(b"ab\xff".decode) == "it is not UTF-8 text at byte 2"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a = 1\nb = [1 2]", "it cannot be understood from line 2, column 8 on"),
        ("a = 1\na = 2\n", "a key or a table is given twice, before line 2, column 6"),
        ("[a]\n[a]\n", "a key or a table is given twice, before line 2, column 3"),
        ("a =", "its last statement is not complete"),
    ],
)
def test_toml_is_refused_with_the_place(text: str, why: str) -> None:
    assert raised(lambda: tomllib.loads(text)) == why


def test_a_database_is_refused_for_what_is_wrong_with_it(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database " * 100)

    def run(path: Path, statement: str) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(statement)

    assert raised(lambda: run(tmp_path / "text", "SELECT 1 FROM a")) == "it is not an SQLite database"
    assert raised(lambda: run(tmp_path / "none" / "a", "SELECT 1")).startswith("it cannot be opened or created")
    assert raised(lambda: run(tmp_path / "new", "SELECT 1 FROM a")) == "its tables are not the expected ones"
    assert reason(sqlite3.DatabaseError("what was stored cannot be read back")) == "what was stored cannot be read back"


def test_a_verifier_that_cannot_be_asked_is_refused_for_the_cause() -> None:
    request = httpx.Request("POST", "http://verifier.example/")

    def caused(error: Exception, cause: Exception) -> str:
        error.__cause__ = cause
        return reason(error)

    refused = httpx.ConnectError("All connection attempts failed", request=request)
    assert caused(refused, ConnectionRefusedError(111, "Connect call failed")) == "no connection: Connection refused"
    certificate = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED]")
    certificate.verify_message = "certificate has expired"
    assert caused(httpx.ConnectError(""), certificate) == "its certificate is not accepted: certificate has expired"
    assert caused(httpx.ConnectError(""), ssl.SSLError(1, "[SSL] wrong version number")) == "the TLS handshake failed"
    assert reason(httpx.RemoteProtocolError("illegal status line")) == "the answer is not HTTP, or it is not complete"
    assert reason(httpx.ReadError("")) == "the connection was lost"


def test_errors_of_ours_keep_their_words() -> None:
    assert reason(ConfigurationError("cycles is 0; it must be 1 to 5")) == "cycles is 0; it must be 1 to 5"
    assert reason(ValueError("there is no guest to resume")) == "there is no guest to resume"
    assert reason(FileNotFoundError(2, "No such file or directory", "a")) == "No such file or directory"
    assert reason(KeyError("RaxRegister")) == "its data do not have the expected form"
