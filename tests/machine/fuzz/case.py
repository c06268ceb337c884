"""A fuzzing case: a program in separate pieces, its generation, variation and file format."""

import json
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any

from machine.architecture.control_registers import CR0_EM, CR0_TS, CR0_WP, CR4_DE, CR4_SMAP, CR4_SMEP, CR4_TSD, CR4_UMIP
from machine.bus.ram import PAGE_SIZE
from tests.machine.fuzz import values
from tests.machine.fuzz.instructions import PIECES
from tests.machine.fuzz.peripherals import WITH_PERIPHERALS
from tests.machine.programs import layout
from tests.machine.programs.program import CR0_DEFAULT, CR4_DEFAULT, Mode, Program

_MAX_PIECES, _MAX_CODE = 8, 4000
_NE = 1 << 5
LIMIT = 300


@dataclass(frozen=True)
class Case:
    """A program, and its code in pieces, so that some can be left out."""

    pieces: tuple[bytes, ...]
    state: Program
    """Everything except the code; the pages' content is a repeated pattern."""

    @property
    def program(self) -> Program:
        data, stack = _filled(self.state.data), _filled(self.state.stack)
        return replace(self.state, code=b"".join(self.pieces), data=data, stack=stack)

    def text(self) -> str:
        """As a line of JSON."""
        found: dict[str, Any] = {"pieces": [piece.hex() for piece in self.pieces]}
        for field in fields(Program):
            value = getattr(self.state, field.name)
            if field.name != "code" and value != field.default:
                kept = value.value if isinstance(value, Mode) else value
                found[field.name] = kept.hex() if isinstance(kept, bytes) else kept
        return json.dumps(found)

    @classmethod
    def read(cls, text: str) -> "Case":
        """From such a line."""
        found = json.loads(text)
        pieces = tuple(bytes.fromhex(piece) for piece in found.pop("pieces"))
        for name in ("fx", "data", "stack"):
            if name in found:
                found[name] = bytes.fromhex(found[name])
        mode = Mode(found.pop("mode", Mode.LONG.value))
        found["registers"] = tuple(found.get("registers", Program(b"").registers))
        return cls(pieces, Program(b"", mode, **found))


def _filled(pattern: bytes) -> bytes:
    size = 2 * PAGE_SIZE
    return (pattern * (size // len(pattern) + 1))[:size] if pattern else b""


def _registers(random: Random) -> tuple[int, ...]:
    found = [values.value(random) for _ in range(16)]
    if random.randrange(4):
        found[4] = layout.STACK_POINTER
    return tuple(found)


def _control(random: Random) -> tuple[int, int]:
    """CR0 and CR4: rarely unusual, because each pair needs its own start."""
    if random.randrange(4):
        return CR0_DEFAULT, CR4_DEFAULT
    cr0 = CR0_DEFAULT ^ random.choice((0, 0, CR0_TS, CR0_EM, CR0_WP, _NE))
    cr4 = CR4_DEFAULT ^ random.choice(
        (0, CR4_TSD, CR4_DE, CR4_UMIP, CR4_SMEP, CR4_SMAP, CR4_SMEP | CR4_SMAP | CR4_UMIP)
    )
    return cr0, cr4


def _state(random: Random) -> Program:
    mode = random.choice((Mode.LONG, Mode.LONG, Mode.COMPATIBILITY, Mode.PROTECTED))
    ring = random.choice((3, 3, 0))
    cr0, cr4 = _control(random)
    bases = [values.address(random) if mode is Mode.LONG else random.getrandbits(32) for _ in range(2)]
    fs_base, gs_base = (base if base >> 47 in (0, 0x1_FFFF) else 0 for base in bases)
    selector = random.choice((None, None, None, 0, layout.KERNEL_DATA, layout.USER_DATA))
    fx = values.fx_image(random)
    data, stack = values.pattern(random), values.pattern(random)
    flags = values.flags(random)
    found = Program(
        b"", mode, ring, _registers(random), flags, fx, fs_base, gs_base, selector, data, stack, cr0, cr4, LIMIT
    )
    return replace(found, peripherals=random.randrange(5) == 0)


def generate(random: Random) -> Case:
    """A case of a random state and a few random pieces."""
    state = _state(random)
    return Case(tuple(_piece(random, state) for _ in range(random.randrange(1, _MAX_PIECES))), state)


def _piece(random: Random, state: Program) -> bytes:
    pieces = WITH_PERIPHERALS if state.peripherals and random.randrange(2) else PIECES
    return random.choice(pieces)(random, state.mode is Mode.LONG)


def vary(random: Random, case: Case, other: Case) -> Case:
    """A variant of a case with new behaviour: other pieces, bytes, registers, or the state of another case."""
    pieces, state = list(case.pieces), case.state
    for _ in range(random.randrange(1, 4)):
        choice = random.randrange(7)
        at = random.randrange(len(pieces) + 1)
        if choice == 0 or not pieces:
            pieces.insert(at, _piece(random, state))
        elif choice == 1:
            pieces[at % len(pieces)] = _piece(random, state)
        elif choice == 2:
            changed = bytearray(pieces[at % len(pieces)] or b"\x90")
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
            pieces[at % len(pieces)] = bytes(changed)
        elif choice == 3:
            registers = list(state.registers)
            registers[random.randrange(16)] = values.value(random)
            state = replace(state, registers=tuple(registers))
        elif choice == 4:
            pieces[at:at] = other.pieces
        elif choice == 5:
            state = other.state
        else:
            state = replace(state, ring=3 - state.ring)
    while len(b"".join(pieces)) > _MAX_CODE:
        pieces.pop()
    return Case(tuple(pieces), state)
