"""The reference pages that are tables made from our types: events, exit codes, the words of the specification."""

from collections.abc import Iterator
from enum import Enum

import msgspec

from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.events import KINDS
from enclave_sim.inputs import AnyInput
from enclave_sim.payload.errors import PayloadCheck
from enclave_sim.specification import Cause, EngineName, HostFunction, Phase, Status, Step
from tests.site.fields import Field, fields, first_paragraph
from tests.site.markdown import code, escaped, table


def events() -> str:
    """Return the page of all kinds of events."""
    lines = [
        "# Events",
        "",
        "Every kind of event, by its name in recordings, with the type in `enclave_sim.events`. Each has `seq`, its "
        "position in the run from 0, and `at_ns`, its virtual time in nanoseconds. [Recordings](../recordings.md) "
        "defines the file.",
        "",
    ]
    for kind, owner in KINDS.items():
        lines += [f"## {kind}", "", f"`{owner.__name__}`: {escaped(first_paragraph(owner))}", "", _fields(owner), ""]
    return "\n".join(lines)


def inputs() -> str:
    """Return the page of all kinds of input."""
    lines = [
        "# Kinds of input",
        "",
        "Every kind of input, by its name in scripts, with the type in `enclave_sim.inputs`. [Inputs](../inputs.md) "
        "says when they take effect.",
        "",
    ]
    for owner in AnyInput.__args__:
        lines += [f"## {owner.__struct_config__.tag}", "", f"`{owner.__name__}`: {escaped(first_paragraph(owner))}"]
        lines += ["", _fields(owner), ""]
    return "\n".join(lines)


def exit_codes() -> str:
    """Return the page of the exit codes."""
    meanings = {field.name: field.meaning for field in fields(ExitCode)}
    rows = [(str(code.value), f"`{code.name}`", escaped(meanings[code.name])) for code in ExitCode]
    return "\n".join(
        ["# Exit codes", "", escaped(first_paragraph(ExitCode)), "", table(("Code", "Name", "Meaning"), rows)]
    )


def words() -> str:
    """Return the page of the specification's words: phases, status word, causes, steps, host calls, checks."""
    return "\n".join(
        [
            "# Phases, status word, causes",
            "",
            "The numbers that kernel and tools share (`enclave_sim/specification.py`). "
            "[Memory map](../memory-map.md) explains them.",
            "",
            "## Phases",
            "",
            table(
                ("Number", "Phase", "Target state"),
                ((f"{one.value:02}", f"`{one.name}`", one.target_state) for one in Phase),
            ),
            "## Status word",
            "",
            table(
                ("Bit", "Mask", "Name"),
                ((str(one.value.bit_length() - 1), f"`{one.value:#010x}`", f"`{one.name}`") for one in Status),
            ),
            "## Causes of annihilation",
            "",
            _members(Cause),
            "## Steps of annihilation",
            "",
            table(("Step", "Meaning"), ((f"`{one.name}`", one.meaning) for one in Step)),
            "## Host calls",
            "",
            table(("RAX", "Host call"), ((str(one.value), f"`{one.name.lower()}`") for one in HostFunction)),
            "## Engines",
            "",
            _members(EngineName),
            "## Payload checks",
            "",
            _members(PayloadCheck),
        ]
    )


def _members(owner: type[Enum]) -> str:
    meanings = {field.name: field.meaning for field in fields(owner)}
    rows = ((str(one.value), f"`{one.name}`", escaped(meanings[one.name])) for one in owner)
    return table(("Value", "Name", "Meaning"), rows)


def _fields(owner: type[msgspec.Struct]) -> str:
    own = list(_inherited(owner))
    if not own:
        return "It has no other fields."
    rows = ((f"`{one.name}`", code(one.kind), escaped(one.meaning)) for one in own)
    return table(("Field", "Type", "Meaning"), rows)


def _inherited(owner: type[msgspec.Struct]) -> Iterator[Field]:
    """Yield the fields of a type and of its bases, those of every event and input left out."""
    for base in reversed(owner.__mro__):
        if issubclass(base, msgspec.Struct) and base.__mro__[1] is not msgspec.Struct and base is not msgspec.Struct:
            yield from fields(base)
