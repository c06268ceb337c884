"""Provenance in one line, for tables of expected chains.

`mov eax, ebx[mov ebx, 5[0x5]]` reads: written by MOV EAX, EBX from what MOV EBX, 5 had written from the constant 5.
`@` is an address source and `?` one of the flags: these are listed by their place and not followed. Parts written by
different steps are separated by `|`, each with its place.
"""

from enclave_sim.time_travel.navigation.provenance.answers import End, Ending, Origin, Role, Source, Value

_MARKS = {Role.ADDRESS: "@", Role.FLAGS: "?", Role.DATA: ""}


def chain(value: Value) -> str:
    """The tree of a value in one line."""
    parts = [_origin(origin, value) for origin in value.origins]
    if value.limit is not None:
        parts.append(f"({value.limit.kind.value})")
    return " | ".join(parts)


def _origin(origin: Origin, value: Value) -> str:
    where = f"{origin.place}: " if origin.place != value.place else ""
    if origin.position is None:
        assert origin.ending is not None
        return f"{where}{_ending(origin.ending)}"
    inner = ", ".join(map(_source, origin.sources))
    end = f" ({_ending(origin.ending)})" if origin.ending is not None else ""
    return f"{where}{origin.instruction or origin.by}[{inner}]{end}"


def _source(source: Source) -> str:
    mark = _MARKS[source.role]
    if source.ending is not None:
        return mark + _ending(source.ending)
    assert source.value is not None
    return f"{mark}{source.value.place}" if mark else chain(source.value)


def _ending(ending: Ending) -> str:
    return ending.text if ending.kind is End.CONSTANT else f"{ending.kind.value}: {ending.text}"
