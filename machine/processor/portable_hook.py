"""The rules of native/step_hook.c and native/stepping.h in Python: the same counts and stops, at 1 % of the speed."""

import ctypes
import re
from collections.abc import Callable

from unicorn import UC_HOOK_CODE, UC_HOOK_INSN_INVALID, UC_HOOK_INTR, UC_PROT_EXEC, UC_PROT_READ, Uc, x86_const
from unicorn.unicorn_py3.unicorn import uclib

from machine.architecture.decoding import Instruction, MemoryOperand, action, decode
from machine.architecture.exceptions import DB
from machine.architecture.instruction_set import Prefix
from machine.architecture.opcodes import Action
from machine.architecture.unicorn_ffi import engine_handle, vmem_read
from machine.bus.ram import PAGE_SIZE
from machine.processor.code_coverage import CodeCoverage
from machine.processor.observed_flow import flows
from machine.processor.step_hook import NEVER, REGISTER_IDS, STRINGS, HookState, Steps, Stop, add_hook
from machine.processor.unusual_operands import unusual_operands

_PREFIXES = rb"\x26\x2e\x36\x3e\x64-\x67\xf0\xf2\xf3"
_OPCODE = tuple(re.compile(rb"[" + _PREFIXES + rex + rb"]*(.)", re.DOTALL) for rex in (b"", rb"\x40-\x4f"))
"""The first byte of the opcode, outside and in 64-bit mode."""
_ESCAPE = b"\x0f"
_TRAP_FLAG, _INTERRUPT_FLAG = 0x100, 0x200
_VECTOR_BYTES = 16
_LOOKED_AT = Action.FLOATS | Action.LOOK
_PLACED = Action.ALIGNED | Action.WIDE
_LONGEST = 15
_REPEATS = frozenset([Prefix.REPEAT, Prefix.REPEAT_NOT_EQUAL])
_COMPARING = frozenset([0xA6, 0xA7, 0xAE, 0xAF])
_ANY_PREFIX = rb"[" + _PREFIXES + rb"\x40-\x4f]*"
_COMPARING_REPEATEDLY = re.compile(_ANY_PREFIX + rb"[\xf2\xf3]" + _ANY_PREFIX + rb"[\xa6\xa7\xae\xaf]")
"""REPE or REPNE with CMPS or SCAS; outside 64-bit mode, also some other instructions, where it does not matter."""
_INT = 0xCD
_ZERO_FLAG = 0x40
SEGMENT_BASE_IDS = {"fs": x86_const.UC_X86_REG_FS_BASE, "gs": x86_const.UC_X86_REG_GS_BASE}


class _Operands:
    """Operands of the instruction at the hook, for machine/processor/unusual_operands.py."""

    def __init__(self, hook: "PortableHook", following: int, *, repeats: bool) -> None:
        self._hook = hook
        self.repeats = repeats
        self.following = following

    def general(self, number: int) -> int:
        """Return a general register: all 64 bits."""
        return self._hook.general(number)

    @property
    def stepping(self) -> bool:
        """True if TF is set, or the machine steps."""
        return self._hook.steps or bool(self._hook.register(x86_const.UC_X86_REG_EFLAGS) & _TRAP_FLAG)

    def vector(self, number: int) -> int:
        """Return an XMM register."""
        value = ctypes.create_string_buffer(_VECTOR_BYTES)
        uclib.uc_reg_read(self._hook.handle, x86_const.UC_X86_REG_XMM0 + number, value)
        return int.from_bytes(value.raw, "little")

    def memory(self, instruction: Instruction, size: int) -> int | None:
        """Return the memory operand; None if the access faults. Raises LookupError outside RAM."""
        assert isinstance(instruction.operand, MemoryOperand)
        address = self._hook.operand_address(instruction, instruction.operand, self.following)
        return self._hook.read_ram(address, size)


class PortableHook:
    """The portable hook of one engine; `state` is the state of the hook."""

    def __init__(self, uc: Uc, state: HookState) -> None:
        self.handle = uc._uch
        self._engine = engine_handle(uc)
        self._state = state
        self.coverage: CodeCoverage | None = None
        self._value = ctypes.c_uint64()
        self._code = ctypes.create_string_buffer(16)
        void, u64, u32 = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32
        self._callbacks: list[Callable[..., object]] = []
        for kind, prototype, function in (
            (UC_HOOK_CODE, ctypes.CFUNCTYPE(None, void, u64, u32, void), self._on_instruction),
            (UC_HOOK_INTR, ctypes.CFUNCTYPE(None, void, u32, void), self._on_interrupt),
            (UC_HOOK_INSN_INVALID, ctypes.CFUNCTYPE(ctypes.c_bool, void, void), self._on_invalid),
        ):
            callback = prototype(function)
            self._callbacks.append(callback)
            add_hook(uc, kind, callback)

    @property
    def steps(self) -> bool:
        """True if the engine was entered for single instructions."""
        return bool(self._state.stepping)

    def register(self, number: int) -> int:
        """Return a register by Unicorn's number."""
        self._value.value = 0
        uclib.uc_reg_read(self.handle, number, ctypes.byref(self._value))
        return self._value.value

    def general(self, number: int) -> int:
        """Return a general register by its number in an instruction."""
        return self.register(REGISTER_IDS[number])

    def _stop(self, reason: Stop) -> None:
        self._state.reason = reason
        self._state.stepping = Steps.NONE
        uclib.uc_context_save(self.handle, ctypes.c_void_p(self._state.context))
        self._state.rflags = self.register(x86_const.UC_X86_REG_EFLAGS)
        uclib.uc_emu_stop(self.handle)

    def _code_at(self, address: int, size: int) -> bytes:
        """Return the code at a linear address: `size` bytes, or those up to the end of the page."""
        length = min(size, _LONGEST)
        to_the_end = PAGE_SIZE - address % PAGE_SIZE
        if not vmem_read(self._engine, address, UC_PROT_EXEC, self._code, length):
            return self._code.raw[:length]
        if length > to_the_end and not vmem_read(self._engine, address, UC_PROT_EXEC, self._code, to_the_end):
            return self._code.raw[:to_the_end]
        return b""

    def _misplaced(self, code: bytes, address: int, size: int) -> bool:
        """Report whether Unicorn would access a 16-byte memory operand wrongly."""
        instruction = decode(code, long=bool(self._state.long_mode))
        if instruction is None or not isinstance(instruction.operand, MemoryOperand):
            return False
        if not self._state.long_mode:
            return True
        at = self.operand_address(instruction, instruction.operand, address + size)
        return bool(instruction.action & Action.ALIGNED and at & 15) or at % PAGE_SIZE > PAGE_SIZE - 16

    def _unusual(self, code: bytes, address: int, size: int) -> bool:
        """Report whether Unicorn would execute the instruction wrongly with its operands."""
        instruction = decode(code, long=bool(self._state.long_mode))
        if instruction is None:
            return False
        return unusual_operands(
            instruction, _Operands(self, address + size, repeats=self._state.last == address), self._state.mxcsr
        )

    def read_ram(self, address: int, size: int) -> int | None:
        """Read memory by linear address; None if the access faults. Raises LookupError outside RAM."""
        for page in range(address & -PAGE_SIZE, address + size, PAGE_SIZE):
            linear = ctypes.c_uint64(page)
            if uclib.uc_vmem_translate(self.handle, linear, UC_PROT_READ, ctypes.byref(self._value)):
                return None
            if self._value.value + PAGE_SIZE > self._state.ram_size:
                raise LookupError("no RAM")
        data = ctypes.create_string_buffer(size)
        vmem_read(self._engine, address, UC_PROT_READ, data, size)
        return int.from_bytes(data.raw, "little")

    def operand_address(self, instruction: Instruction, operand: MemoryOperand, following: int) -> int:
        """Return the linear address of a memory operand in 64-bit mode; the next instruction is at `following`."""
        at = operand.displacement + (following if operand.relative else 0)
        for number, scale in ((operand.base, 1), (operand.index, operand.scale)):
            if number is not None:
                at += self.general(number) * scale
        at &= 0xFFFF_FFFF if instruction.address_size_prefix else NEVER
        return at + (self.register(SEGMENT_BASE_IDS[operand.segment]) if operand.segment in SEGMENT_BASE_IDS else 0)

    def _watched(self, address: int, size: int) -> bool:
        """Report whether to stop before the instruction at an address. If so, keep its code in the state."""
        state, code = self._state, self._code_at(address, size)
        found = action(code, long=bool(state.long_mode))
        if not found and len(code) < _LONGEST and decode(code, long=bool(state.long_mode)) is None:
            # `size` ends at Unicorn's decoding error
            code = self._code_at(address, _LONGEST)
            found = action(code, long=bool(state.long_mode))
        stops = bool(found & state.watched) or bool(found & _PLACED and self._misplaced(code, address, size))
        if not stops and found & _LOOKED_AT:  # Unicorn may also get their length wrong
            longer = self._code_at(address, min(_LONGEST, -address % PAGE_SIZE or PAGE_SIZE))
            code = max(code, longer, key=len)
            stops = self._unusual(code, address, size)
        if stops:
            state.code_size = len(code)
            ctypes.memmove(state.code, code, len(code))
            return True
        if found & Action.MODIFIES or (state.last != address and _COMPARING_REPEATEDLY.match(code)):
            state.flags_before = self.register(x86_const.UC_X86_REG_EFLAGS)
        return False

    def _note_begin(self, code: bytes) -> None:
        """See `note_begin` in stepping.h."""
        state = self._state
        instruction = decode(code, long=bool(state.long_mode))
        inhibited, state.inhibited, state.until = state.inhibited, 0, 0  # it executes one instruction each time
        if instruction is None:
            return
        if instruction.opcode in STRINGS and instruction.prefix in _REPEATS and not inhibited:
            state.until = instruction.prefix if instruction.opcode in _COMPARING else Prefix.OPERAND_SIZE
            state.rcx = self.register(x86_const.UC_X86_REG_RCX)
            state.rip = self.register(x86_const.UC_X86_REG_RIP)
        elif instruction.opcode == _INT:
            state.stepping = Steps.NONE

    def _on_step(self) -> None:
        """See `on_step` in stepping.h. The portable hook stops after each step, because it keeps no debt."""
        state, reason = self._state, Stop.DEADLINE
        if state.until:
            moved = self.register(x86_const.UC_X86_REG_RIP) != state.rip
            counted = self.register(x86_const.UC_X86_REG_RCX) != state.rcx
            zero = bool(self.register(x86_const.UC_X86_REG_EFLAGS) & _ZERO_FLAG)
            found = state.until != Prefix.OPERAND_SIZE and (state.until == Prefix.REPEAT) != zero
            if moved and counted and not found:
                reason = Stop.REPEAT
        self._stop(reason)

    def _on_instruction(self, _uc: int, address: int, size: int, _user: int) -> None:
        state = self._state
        if state.retired >= state.deadline:
            return self._stop(Stop.DEADLINE)
        if state.watch_if and self.register(x86_const.UC_X86_REG_EFLAGS) & _INTERRUPT_FLAG:
            return self._stop(Stop.INTERRUPTS_ENABLED)
        passed = (state.retired, address) == (state.passing, state.passing_address)
        if state.addresses and not passed and address in state.address[: state.addresses]:
            return self._stop(Stop.ADDRESS)
        if address == state.pass_once:
            state.pass_once = NEVER
        else:
            if address == state.breakpoint:
                return self._stop(Stop.BREAKPOINT)
            if state.debugging and address in state.debug_address:
                return self._stop(Stop.DEBUG)
        code = self._code_at(address, size)
        if state.flow and not passed and flows(state, address, decode(code, long=bool(state.long_mode)), self.general):
            return self._stop(Stop.ADDRESS)
        if address == state.pass_watched:
            state.pass_watched = NEVER
            if address != state.last:  # not between two iterations
                state.flags_before = state.rflags
        elif self._watched(address, size):
            return self._stop(Stop.WATCHED_INSTRUCTION)
        if state.stepping:
            self._note_begin(code)
        self._begin(address, size, code)
        return None

    def _begin(self, address: int, size: int, code: bytes) -> None:
        """Count an instruction."""
        state = self._state
        found = _OPCODE[bool(state.long_mode)].match(code)
        state.begun = 0 if found is None or found[1] == _ESCAPE else found[1][0]
        if self.coverage is not None:
            self.coverage.begin(state.last, address)
            self.coverage.end(address + size)
        state.last = address
        state.retired += 1

    def _on_interrupt(self, _uc: int, vector: int, _user: int) -> None:
        if vector == DB and self._state.stepping not in (Steps.NONE, Steps.OF_SOFTWARE):
            self._on_step()
            return
        self._state.vector = vector
        self._stop(Stop.INTERRUPT)

    def _on_invalid(self, _uc: int, _user: int) -> bool:
        self._stop(Stop.INVALID_INSTRUCTION)
        return True
