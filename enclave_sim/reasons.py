"""The reasons why data from outside were refused, in our own words.

Libraries word their errors for programmers. Each handler that shows the error of a library passes it to `reason`; a
test finds those that do not. No library is imported here: the error's own module says where it comes from.
"""

import os
import re
from collections.abc import Callable
from typing import Any

_SHOWN = 60
"""Maximum number of characters of the data in a message."""
_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object with named fields",
    "bytes": "bytes in base64",
    "datetime": "a date and time",
    "date": "a date",
    "time": "a time of day",
}
_PLACE = r"(?s)(.*?)(?: - at `(?:key in )?\$(.*)`)?"
_SCHEMA = (
    (r"Expected `(?P<right>[^`]*)`, got `(?P<found>[^`]*)`", "{place} is {found}; it must be {right}"),
    (r"Expected `(?:int|float)` >= (.*)", "{place} must be at least {0}"),
    (r"Expected `(?:int|float)` <= (.*)", "{place} must be at most {0}"),
    (r"Expected `(?:int|float)` > (.*)", "{place} must be more than {0}"),
    (r"Expected `(?:int|float)` < (.*)", "{place} must be less than {0}"),
    (r"Expected `str` matching regex (.*)", "{place} does not have the form {0}"),
    (r"Expected `\w+` of (?:at least length|length >=) (\d+).*", "{place} is too short; it needs at least {0}"),
    (r"Expected `\w+` of (?:at most length|length <=) (\d+).*", "{place} is too long; the maximum is {0}"),
    (r"Expected `\w+` of length (\d+)(?:, got \d+)?", "{place} does not have {0} entries"),
    (r"Expected `\w+` of length (\d+ to \d+).*", "{place} has too few or too many entries; it must have {0}"),
    (r"Expected `(?P<right>[^`]*)`", "{place} must be {right}"),
    (r"Object missing required field `([^`]*)`", "{inside}{0} is missing"),
    (r"Object contains unknown field `([^`]*)`", "{inside}{0} is unknown"),
    (r"Invalid (?:enum )?value (.*)", "{place} is {0}, which is not one of the possible values"),
    (r"(?:Integer value|Number) out of range", "{place} is too large"),
    (r"Invalid base64 encoded string", "{place} is not base64"),
    (r"Invalid RFC3339 encoded (\w+)", "{place} is not a {0}, such as 2026-01-31T12:00:00Z"),
    (r"JSON is malformed: trailing characters \(byte (\d+)\)", "something follows the JSON, at byte {0}"),
    (r"JSON is malformed: .*\(byte (\d+)\)", "it is not JSON at byte {0}"),
    (r"MessagePack data is malformed: .*\(byte (\d+)\)", "its data are damaged at byte {0}"),
    (r"Input data was truncated", "it ends before its data are complete"),
    (r"Invalid UTF-8 encoded string", "it is not UTF-8 text"),
)
"""Patterns of msgspec's errors, compiled only for an error: start-up does not wait for them."""
_SQLITE = {
    5: "another process uses it",
    6: "another process uses it",
    8: "it is read-only",
    10: "it cannot be read or written",
    11: "it is damaged",
    13: "the disk is full",
    14: "it cannot be opened or created; its directory must exist and be writable",
    23: "access is denied",
    26: "it is not an SQLite database",
}
"""Words for SQLite's primary result codes (sqlite.org/rescode.html)."""
_TWICE = r"Cannot (overwrite|declare|redefine|mutate)|Duplicate"
_TOML_PLACE = r"\(at (?:line (\d+), column (\d+)|end of document)\)"
_HTTP = {
    "ConnectError": "no connection; nothing answers there",
    "ProxyError": "no connection; nothing answers there",
    "RemoteProtocolError": "the answer is not HTTP, or it is not complete",
    "LocalProtocolError": "it cannot be asked with HTTP",
    "UnsupportedProtocol": "it is not an http or https URL",
    "InvalidURL": "it is not a URL",
    "DecodingError": "the answer cannot be decoded",
}
"""Words for errors of the HTTP client by the names of their types."""


def reason(error: BaseException) -> str:
    """Say why data, a file or an answer was refused.

    Args:
        error: The error of a library, of Python or of ours.

    Returns:
        A clause for a message. Of an error of ours, its own text.
    """
    library = type(error).__module__.partition(".")[0]
    return _LIBRARIES.get(library, _of_python)(error)


def _of_schema(error: BaseException) -> str:
    """Word an error of msgspec. It passes on the texts of our own ValueErrors, with the place."""
    whole = re.fullmatch(_PLACE, str(error))
    assert whole is not None
    text, path = whole[1], (whole[2] or "").lstrip(".")
    path = path.replace("[...]", "an entry", 1) if path.startswith("[") else path
    names = {"place": path or "it", "inside": f"{path}: " if path else ""}
    for pattern, words in _SCHEMA:
        if found := re.fullmatch(pattern, text):
            types = {name: _type(value) for name, value in found.groupdict().items()}
            return words.format(*(_cut(each) for each in found.groups()), **names, **types)
    return f"{names['inside']}{text}"


def _type(text: str) -> str:
    return " or ".join(_TYPES.get(each, each) for each in text.split(" | "))


def _of_toml(error: BaseException) -> str:
    found = re.search(_TOML_PLACE, str(error))
    where = f"line {found[1]}, column {found[2]}" if found and found[1] else "its end"
    if re.match(_TWICE, str(error)):
        return f"a key or a table is given twice, before {where}"
    return f"it cannot be understood from {where} on" if where != "its end" else "its last statement is not complete"


def _of_sqlite(error: BaseException) -> str:
    code = getattr(error, "sqlite_errorcode", None)  # our own errors have none
    return str(error) if code is None else _SQLITE.get(code & 0xFF, "its tables are not the expected ones")


def _of_tls(error: BaseException) -> str:
    refused = getattr(error, "verify_message", "")
    return f"its certificate is not accepted: {refused}" if refused else "the TLS handshake failed"


def _of_http(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if type(cause).__module__ == "ssl":
            return _of_tls(cause)
        if isinstance(cause, OSError) and cause.errno and cause.strerror:
            return f"no connection: {_system(cause)}"
        cause = cause.__cause__ or cause.__context__
    return _HTTP.get(type(error).__name__, "the connection was lost")


def _of_python(error: BaseException) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 text at byte {error.start}"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, OSError):
        return _system(error)
    if isinstance(error, LookupError | TypeError | AttributeError):
        return "its data do not have the expected form"
    return str(error)


def _system(error: OSError) -> str:
    """Return the system's words; asyncio has its own, and name servers have other numbers."""
    if error.errno is None:
        return "it cannot be used"
    return os.strerror(error.errno) if error.errno > 0 else error.strerror or "it cannot be used"


def _cut(text: str | None) -> str:
    text = text or ""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


_LIBRARIES: dict[str, Callable[[Any], str]] = {
    "msgspec": _of_schema,
    "tomllib": _of_toml,
    "sqlite3": _of_sqlite,
    "ssl": _of_tls,
    "httpx": _of_http,
    "httpcore": _of_http,
}
