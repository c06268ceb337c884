"""Encodes the declared state of an enclave's parts as bytes, and decodes it.

MessagePack has numbers, text, bytes and maps. A value of any other type is written as a list that begins with the name
of its type. Only the types listed here can be decoded.
"""

from collections import deque
from enum import Enum
from typing import Any, get_args

import msgspec

from enclave_sim.attestation import Evidence, Position, SignedQuote
from enclave_sim.inputs import AfterEvent, AnyInput
from enclave_sim.payload.artefact import Artefact
from enclave_sim.reasons import reason
from enclave_sim.specification import Cause, HostFunction, Phase, Step
from machine.interrupts.interrupt_returns import Entered

_ENUMS: tuple[type[Enum], ...] = (Cause, HostFunction, Phase, Step)
_RECORDS: tuple[Any, ...] = (Artefact, Entered, Evidence, SignedQuote, Position, *get_args(AnyInput), AfterEvent)
_SEQUENCES: tuple[type, ...] = (list, tuple, deque)
_BY_NAME: dict[str, Any] = {kind.__name__: kind for kind in (*_ENUMS, *_RECORDS, *_SEQUENCES)}


def encode(state: Any) -> bytes:
    """Encode state as MessagePack. Raises ValueError for a value of an unlisted type."""
    return msgspec.msgpack.encode(_pack(state))


def decode(data: bytes) -> Any:
    """Decode state. Raises ValueError for anything not made by `encode`."""
    try:
        return _unpack(msgspec.msgpack.decode(data))
    except (LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"not a state: {reason(error)}") from None


def _pack(value: Any) -> Any:
    kind = type(value)
    if value is None or kind in (bool, str, bytes):
        return value
    if kind is int:
        return value if -(1 << 63) <= value < 1 << 64 else ["int", str(value)]
    if kind is bytearray:
        return ["bytearray", bytes(value)]
    if kind is dict:
        return ["dict", [[_pack(key), _pack(item)] for key, item in value.items()]]
    if kind in _SEQUENCES:
        return [kind.__name__, [_pack(item) for item in value]]
    if kind in _ENUMS:
        return [kind.__name__, value.value]
    if kind in _RECORDS:
        return [kind.__name__, [_pack(getattr(value, field)) for field in _fields(kind)]]
    raise ValueError(f"{kind.__name__} is not a type of state")


def _unpack(value: Any) -> Any:
    if not isinstance(value, list):
        if isinstance(value, dict):
            raise TypeError("a map where none is written")
        return value
    name, content = value
    if name == "int":
        return int(content)
    if name == "bytearray":
        return bytearray(content)
    if name == "dict":
        return {_unpack(key): _unpack(item) for key, item in content}
    kind = _BY_NAME[name]
    if kind in _ENUMS:
        return kind(content)
    items = [_unpack(item) for item in content]
    return kind(items) if kind in _SEQUENCES else kind(**dict(zip(_fields(kind), items, strict=True)))


def _fields(record: Any) -> tuple[str, ...]:
    named = ("__struct_fields__", "_fields", "__dataclass_fields__")
    return tuple(next(getattr(record, name) for name in named if hasattr(record, name)))
