"""Runs of x87 instructions without memory operands, executed at once.

Kernels clear the x87 registers by such runs, and execute the same ones again and again. The result of a run depends on
nothing but the unit's state, the code and its address, so recent results are kept. Native code repeats the last one
without Python (native/known.h).
"""

import ctypes
from functools import lru_cache

from machine.architecture.control_registers import CR0_EM, CR0_TS
from machine.architecture.decoding import Instruction
from machine.architecture.processor_state import HFLAG_CODE_64
from machine.architecture.saved_context import X87_BYTES
from machine.instructions.floating_point.clearing import CLEARING
from machine.instructions.floating_point.forms import Form
from machine.instructions.floating_point.state import X87State
from machine.instructions.floating_point.unit import OPCODE_BITS
from machine.processor.cpu import Cpu

_WITHOUT_OTHER_REGISTERS = frozenset([0xD8, 0xD9, 0xDC, 0xDD, 0xDE])
"""Opcodes whose register forms use neither EFLAGS nor AX."""
_INSTRUCTION_BYTES, _MAX_BYTES = 2, 32


class KnownRun(ctypes.Structure):
    """`struct x87_run` of known.h, which explains the fields."""

    _fields_ = [
        *[(name, ctypes.c_uint64) for name in ("rip", "selector", "size")],
        ("code", ctypes.c_uint8 * _MAX_BYTES),
        ("before", ctypes.c_uint8 * X87_BYTES),
        ("after", ctypes.c_uint8 * X87_BYTES),
    ]


class FloatingPointRuns:
    """The runs of one processor, whose x87 state is `state`."""

    def __init__(self, cpu: Cpu, state: X87State) -> None:
        self._cpu = cpu
        self._state = state
        self._note = KnownRun()
        self._last: tuple[int, bytes, bytes] | None = None

    def execute(self, instruction: Instruction) -> bool:
        """Execute the run that begins with the instruction at RIP, if nothing can stop the processor within it.

        Args:
            instruction: That instruction, at which the engine has stopped.

        Returns:
            True if it was executed; False if the instruction must be executed alone.
        """
        if instruction.length != _INSTRUCTION_BYTES or _form(instruction.opcode, instruction.modrm) is None:
            return False
        cpu, registers, state = self._cpu, self._cpu.registers, self._state
        at = cpu.linear_rip
        code = _run_at_start(cpu.code.in_page(at, _MAX_BYTES))
        count = len(code) // _INSTRUCTION_BYTES
        if (
            count < 2
            or registers.cr[0] & (CR0_EM | CR0_TS)
            or not cpu.engine.ahead.passes(range(at, at + len(code)), count)
        ):
            return False
        before = state.save()
        result = _result(code, registers.cs.selector, registers.rip, before)
        if result is None:
            return False
        state.load(result)
        self._note_second(code, before, result)
        cpu.skip_several(count, _INSTRUCTION_BYTES)
        return True

    def _note_second(self, code: bytes, before: bytes, after: bytes) -> None:
        """Note the run at RIP for native code, if it is the same as the last one."""
        cpu, registers, last = self._cpu, self._cpu.registers, self._last
        self._last = registers.rip, code, before
        if self._last != last or not cpu.engine.native or not registers.hflags & HFLAG_CODE_64:
            return
        note = self._note
        note.rip, note.selector, note.size = registers.rip, registers.cs.selector, len(code)
        note.code[: len(code)] = code
        note.before[:], note.after[:] = before, after
        cpu.hook.known_run = ctypes.addressof(note)


def _form(opcode: int, modrm: int) -> Form | None:
    """Return an instruction that a run may have; None for any other."""
    found = CLEARING.get((opcode, modrm))
    if found is None and opcode in _WITHOUT_OTHER_REGISTERS:
        from machine.instructions.floating_point.table import REGISTER_FORMS  # noqa: PLC0415 - see clearing

        found = REGISTER_FORMS.get((opcode, modrm))
    return found


@lru_cache(maxsize=1024)
def _run_at_start(code: bytes) -> bytes:
    """Return the part of the code that is a run; empty if there is none."""
    end = 0
    while end < len(code) - 1 and _form(code[end], code[end + 1]) is not None:
        end += _INSTRUCTION_BYTES
    return code[:end]


@lru_cache(maxsize=256)
def _result(code: bytes, selector: int, rip: int, before: bytes) -> bytes | None:
    """Return the unit's state after a run; None if one of its instructions waits for an exception that is pending."""
    x87 = X87State(bytearray(before))
    for at in range(0, len(code), _INSTRUCTION_BYTES):
        opcode, modrm = code[at : at + _INSTRUCTION_BYTES]
        form = _form(opcode, modrm)
        assert form is not None, "it belongs to the run"
        if form.waits and x87.is_pending:
            return None
        form.handler(x87, form.argument)
        if not form.is_control:
            x87.note_instruction((opcode & OPCODE_BITS) << 8 | modrm, selector, rip + at)
    return x87.save()
