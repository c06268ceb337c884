"""wasmtime's errors about modules and their text form, in our own words."""

import re
from collections.abc import Iterable

_CAUSE = r"(?:Invalid input WebAssembly code at offset (\d+): )?(.*?)(?: \(at offset 0x([0-9a-f]+)\))?"
_NUMBERING = r"(?m)^ *\d+: "
_RULES = (
    (r"type mismatch: expected (.*) but nothing on stack", "the operand stack is empty where {0} is expected"),
    (r"type mismatch: expected (.*), found (.*)", "an operand is of type {1} where {0} is expected"),
    (r"type mismatch: values remaining on stack.*", "values remain on the operand stack at the end of a block"),
    (r"type mismatch.*", "an operand is of another type than its instruction"),
    (r"unknown label.*", "a branch leaves more blocks than there are"),
    (r"unknown binary version.*", "it is not of version 1 of WebAssembly"),
    (r"unknown (\w+) (\d+).*", "there is no {0} {1}"),
    (r"unexpected end.*", "a part of it ends too early"),
    (r"duplicate export name `(.*)`.*", "two exports are called {0}"),
    (r"memory size must be at most.*", "a memory is larger than 4 GiB"),
    (r"size minimum must not be greater than maximum", "a minimum size is larger than its maximum"),
    (r"global is immutable.*", "an instruction changes an immutable global"),
    (r"malformed section id:? ?(\d*).*", "there is no section with the number {0}"),
    (r"section out of order", "a section is out of order"),
    (r"section size mismatch.*", "a section is longer than its contents"),
    (r"illegal opcode: (0x\w+).*", "there is no instruction {0}"),
    (r"function .*code section.*", "the function and code sections differ in length"),
    (r"control frames remain.*", "a block has no end"),
    (r".*alignment must not be larger.*", "an alignment is larger than its access"),
    (r"invalid start function type", "the start function has parameters or results"),
    (r"constant expression required.*", "an initial value is not a constant expression"),
    (r".*integer representation too long.*|.*integer too large.*", "a LEB128 integer is too long"),
    (r".*malformed UTF-8.*", "a name is not UTF-8"),
)
_TEXT_RULES = (
    (r"unknown (\w+): failed to find name `(.*)`", "there is no {0} {1}"),
    (r"duplicate (\w+).*", "a {0} is given twice"),
    (r"expected `(.)`", "{0} is expected"),
    (r"unknown operator or unexpected token", "neither an instruction nor a keyword that can be here"),
    (r"invalid (\w+) number.*", "it is not an {0} number"),
    (r"import after (\w+)", "an import must come before each {0}"),
    (r"unterminated.*", "a text or a comment has no end"),
)
_TEXT_PLACE = r"--> <anon>:(\d+):(\d+)"
_INVALID = "a rule of validation (WebAssembly core specification, chapter 3) is broken"


def cause_of(error: Exception) -> str:
    """Return the innermost cause of an error of wasmtime, in its words, in one line."""
    return " ".join(re.split(_NUMBERING, str(error).rpartition("Caused by:")[-1])[-1].split())


def place_of(error: Exception) -> str:
    """Return `at byte N`, or nothing if the error has no place."""
    at, _ = _parts(error)
    return "" if at is None else f"at byte {at}"


def invalid(error: Exception) -> str:
    """Say why a binary module is not valid, and at which byte."""
    at, text = _parts(error)
    words = _worded(_RULES, text) or _INVALID
    return words if at is None else f"at byte {at}, {words}"


def not_text(error: Exception) -> str:
    """Say why a text is not WebAssembly text, and in which line."""
    first, _, place = str(error).partition("\n")
    words = _worded(_TEXT_RULES, first) or "it cannot be understood"
    found = re.search(_TEXT_PLACE, place)
    return words if found is None else f"line {found[1]}, column {found[2]}: {words}"


def _parts(error: Exception) -> tuple[int | None, str]:
    found = re.fullmatch(_CAUSE, cause_of(error))
    assert found is not None
    if found[1] is None and found[3] is None:
        return None, found[2]
    return int(found[1]) if found[3] is None else int(found[3], 16), found[2]


def _worded(rules: Iterable[tuple[str, str]], text: str) -> str:
    for pattern, words in rules:
        if found := re.fullmatch(pattern, text):
            return words.format(*found.groups())
    return ""
