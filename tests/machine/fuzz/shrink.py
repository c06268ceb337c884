"""Makes a case smaller, as long as it still breaks a rule: fewer pieces, fewer bytes, a plainer state."""

from collections.abc import Callable, Iterator
from dataclasses import fields, replace

from tests.machine.fuzz.case import Case
from tests.machine.programs.program import Program

_MAX_TRIALS = 400
Broken = Callable[[Case], bool]


def shrink(case: Case, breaks: Broken) -> Case:
    """The smallest case found for which `breaks` is true; the case itself if it is not."""
    trials = iter(range(_MAX_TRIALS))
    smaller = case if breaks(case) else None
    while smaller is not None:
        case = smaller
        tried = (candidate for candidate in _candidates(case) if next(trials, None) is not None)
        smaller = next((candidate for candidate in tried if breaks(candidate)), None)
    return case


def _candidates(case: Case) -> Iterator[Case]:
    """Smaller cases, the smallest first."""
    yield from _fewer_pieces(case)
    for state in _plainer(case.state):
        yield replace(case, state=state)
    for index, piece in enumerate(case.pieces):
        for at in range(len(piece)):
            shorter = piece[:at] + piece[at + 1 :]
            yield replace(case, pieces=(*case.pieces[:index], shorter, *case.pieces[index + 1 :]))


def _fewer_pieces(case: Case) -> Iterator[Case]:
    pieces = case.pieces
    length = len(pieces)
    while length:
        for start in range(0, len(pieces) - length + 1, length):
            yield replace(case, pieces=pieces[:start] + pieces[start + length :])
        length //= 2


def _plainer(state: Program) -> Iterator[Program]:
    """States closer to the default one."""
    plain = Program(b"", state.mode, state.ring)
    for field in fields(Program):
        default = getattr(plain, field.name)
        if field.name not in ("code", "mode", "ring", "limit") and getattr(state, field.name) != default:
            yield replace(state, **{field.name: default})
    for index, value in enumerate(plain.registers):
        if state.registers[index] != value:
            yield replace(state, registers=(*state.registers[:index], value, *state.registers[index + 1 :]))
    for name in ("data", "stack"):
        content = getattr(state, name)
        half = len(content) // 2 & -8
        if half:
            yield replace(state, **{name: content[:half]})
            yield replace(state, **{name: content[half:]})
