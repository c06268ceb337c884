"""Control flow before which an observer of the machine stops, as `flows` in native/step_hook.c has it."""

from collections.abc import Callable

from machine.architecture.decoding import Instruction
from machine.processor.step_hook import Flow, HookState

_RETURNS = frozenset([0xC2, 0xC3, 0xCA, 0xCB, 0xCF])
_CALLS = frozenset([0x9A, 0xCC, 0xCD, 0xCE, 0xE8, 0xF1])
_GROUP_5 = 0xFF
"""CALL is /2 and /3."""
_RSP = 4


def flows(state: HookState, address: int, instruction: Instruction | None, general: Callable[[int], int]) -> bool:
    """Report whether an observer asks for a stop before an instruction because of where control goes.

    Args:
        state: What it asks for.
        address: The linear address of the instruction.
        instruction: The instruction; None if it cannot be fetched entirely.
        general: Returns a general register by its number.

    Returns:
        True to stop.
    """
    if state.flow & Flow.OUTSIDE and not state.inside <= address < state.inside + state.inside_size:
        return True
    if state.flow & Flow.CHANGED and general(state.number) != state.value:
        return True
    if not state.flow & Flow.CALLS or instruction is None:
        return False
    if instruction.opcode in _RETURNS:
        return general(_RSP) >= state.floor
    calls = instruction.opcode in _CALLS or (instruction.opcode == _GROUP_5 and instruction.modrm >> 4 & 3 == 1)
    return calls and general(_RSP) > state.floor
