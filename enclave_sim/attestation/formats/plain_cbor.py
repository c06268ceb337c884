"""Untrusted CBOR (RFC 8949): only numbers, strings, arrays and maps are accepted.

For tags the library creates regular expressions, dates, mail messages or loops, at a cost chosen by the author of the
file. So the heads of all items are checked before any value is created.
"""

from typing import Any

from enclave_sim.attestation.errors import EvidenceError
from enclave_sim.attestation.formats.reader import Reader

_BYTE_STRING = 2
_TEXT_STRING = 3
_TAG = 6
_MAX_ITEMS = 64
_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}  # additional information: size of the argument in bytes


def load(data: bytes, what: str) -> Any:
    """Decode one data item.

    Trailing bytes and encodings that are not the shortest are not detected here: the caller must check.

    Returns:
        The value.

    Raises:
        EvidenceError: An item is not plain or has no definite length.
    """
    import cbor2  # noqa: PLC0415 - only reading and writing files needs it

    reader = Reader(f"evidence file: {what}", data)
    items = 0
    while reader.offset < len(data):
        items += 1
        if items > _MAX_ITEMS:
            raise reader.error("an item", reader.offset, "is one too many", f"no file needs more than {_MAX_ITEMS}")
        _skip_head(reader)
    try:
        return cbor2.loads(data)
    except (cbor2.CBORDecodeError, TypeError):
        raise EvidenceError(f"evidence file: its {what} cannot be read as CBOR (RFC 8949)") from None


def _skip_head(reader: Reader) -> None:
    offset = reader.offset
    major, information = divmod(reader.number(1, "an item"), 32)
    if major >= _TAG:
        raise reader.error("an item", offset, "is a tag, a float or a simple value", "no claim has one")
    if information > max(_WIDTHS):
        raise reader.error("an item", offset, "has no definite length", "the profile asks for one")
    argument = reader.number(_WIDTHS[information], "an item") if information in _WIDTHS else information
    if major in (_BYTE_STRING, _TEXT_STRING):
        reader.take(argument, "a string")
