"""Plain state as bytes and back: what `machine.state` saves, and nothing else.

MessagePack has numbers, text, bytes, lists and maps. What else state is made of is written as a list that begins with
its type. Only types named here can come out of a file.
"""

from array import array
from collections import Counter, deque
from collections.abc import Callable
from enum import Enum
from typing import Any, get_args

import msgspec

from enclave_sim.attestation import Evidence, SignedQuote
from enclave_sim.inputs import AfterEvent, AnyInput
from enclave_sim.payload.artefact import Artefact
from enclave_sim.payload.keys import TrustAnchor
from enclave_sim.recording.outcome.summary import AttestationSummary, PhaseSummary, RunResult, StepSummary
from enclave_sim.specification import Attestation, Cause, EngineName, Phase, Step
from machine.interrupt_returns import Entered

_ENUMS: tuple[type[Enum], ...] = (Attestation, Cause, EngineName, Phase, Step)
_RECORDS: tuple[type, ...] = (Artefact, TrustAnchor, Entered, Evidence, SignedQuote)
_STRUCTS: tuple[type[msgspec.Struct], ...] = (
    PhaseSummary,
    StepSummary,
    RunResult,
    AttestationSummary,
    *get_args(AnyInput),
    AfterEvent,
)
_BY_NAME: dict[str, type] = {kind.__name__: kind for kind in (*_ENUMS, *_RECORDS, *_STRUCTS)}
_SEQUENCES: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "deque": deque,
    "set": set,
    "frozenset": frozenset,
    "array": lambda items: array("I", items),
}


def encode(state: Any) -> bytes:
    """State as MessagePack. Raises TypeError for what is no plain state."""
    return msgspec.msgpack.encode(_pack(state))


def decode(data: bytes) -> Any:
    """The state. Raises ValueError for anything that `encode` has not made."""
    try:
        return _unpack(msgspec.msgpack.decode(data))
    except (LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"not a state: {error}") from None


def _pack(value: Any) -> Any:
    if value is None or type(value) in (bool, str, bytes):
        return value
    if type(value) is int:
        return value if -(1 << 63) <= value < 1 << 64 else ["int", str(value)]
    if isinstance(value, Enum):
        return [type(value).__name__, value.value]
    if isinstance(value, bytearray):
        return ["bytearray", bytes(value)]
    if isinstance(value, Counter):
        return ["Counter", [[_pack(key), count] for key, count in value.items()]]
    if isinstance(value, dict):
        return ["dict", [[_pack(key), _pack(item)] for key, item in value.items()]]
    name = type(value).__name__
    if name in _SEQUENCES:
        items = sorted(value) if isinstance(value, set | frozenset) else value
        return [name, [_pack(item) for item in items]]
    if isinstance(value, msgspec.Struct) and type(value) in _STRUCTS:
        return [name, [_pack(getattr(value, field)) for field in value.__struct_fields__]]
    if type(value) in _RECORDS:
        return [name, [_pack(getattr(value, field)) for field in value.__dataclass_fields__]]
    raise TypeError(f"{name} is no plain state")


def _unpack(value: Any) -> Any:
    if not isinstance(value, list):
        if isinstance(value, dict):
            raise TypeError("a map where none is written")
        return value
    name, content = value
    if name in ("int", "bytearray"):
        return int(content) if name == "int" else bytearray(content)
    if name in ("dict", "Counter"):
        found = {_unpack(key): _unpack(item) for key, item in content}
        return Counter(found) if name == "Counter" else found
    if name in _SEQUENCES:
        return _SEQUENCES[name]([_unpack(item) for item in content])
    kind = _BY_NAME[name]
    if issubclass(kind, Enum):
        return kind(content)
    fields = kind.__struct_fields__ if issubclass(kind, msgspec.Struct) else kind.__dataclass_fields__  # type: ignore[attr-defined]
    return kind(**dict(zip(fields, map(_unpack, content), strict=True)))
