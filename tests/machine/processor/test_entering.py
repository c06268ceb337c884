"""native/entering.h on every architecture: what it gives to the engine, and what it leaves to Python."""

import struct

import pytest

from machine.architecture.processor_state import HFLAG_BY_BLOCK, HFLAG_CODE_64, HFLAG_TF, ProcessorState
from machine.processor.native.build import ARCHITECTURES
from machine.processor.step_hook import NEVER, HookState, Stop
from tests.machine.native_code import BYTES, CONTEXT, STATE, Blob

NOT_ENTERED = 0
CR2, MXCSR, RAISED, MET, OLD_EXCEPTION = 0, 8, 12, 16, 24
PARTS = struct.Struct("<QIB3xiii")
FAULTED, RIP, RF = 0x7777, 0x1234, 1 << 16
BLOBS = {architecture: Blob(architecture) for architecture in ARCHITECTURES}


class Engine:
    """An engine that does nothing but stop."""

    def __init__(self, architecture: str, **fields: int) -> None:
        self.blob = BLOBS[architecture]
        self.state = HookState(pause=NEVER, rflags=2, **fields)
        for name, offset in (("cr2", CR2), ("mxcsr_now", MXCSR), ("simd_raised", RAISED), ("met", MET)):
            setattr(self.state, name, BYTES + offset)
        self.state.old_exception = BYTES + OLD_EXCEPTION
        self.registers = ProcessorState(hflags=HFLAG_CODE_64, rip=RIP)

    def enter(self, reason: Stop, *, vector: int = 0, status: int = 0, retires: int = 0, is_int: bool = False) -> int:
        """Enter it; it will stop with this reason or error."""

        def start() -> int:
            uc = self.blob.uc
            for name, value in (("reason", reason), ("vector", vector), ("retired", self.state.retired + retires)):
                uc.mem_write(STATE + getattr(HookState, name).offset, struct.pack("<Q", value))
            uc.mem_write(BYTES + CR2, struct.pack("<Q", FAULTED))
            if is_int:  # Unicorn leaves the note of an earlier INT otherwise
                uc.mem_write(BYTES + MET, struct.pack("<ii", 0, 1))
            return status

        parts = PARTS.pack(0x5555, 0x1F80, 0x40 | 0x22, 0, 1, 3)
        return self.blob.enter(self.state, self.registers, parts, start)

    @property
    def parts(self) -> tuple[int, ...]:
        """CR2, MXCSR, raised SIMD flags, and QEMU's note of an old exception."""
        cr2, mxcsr, raised, _, _, old = PARTS.unpack(self.blob.uc.mem_read(BYTES, PARTS.size))
        return cr2, mxcsr, raised, old


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_plain_stop_is_complete(architecture: str) -> None:
    engine = Engine(architecture)
    engine.state.rflags |= RF
    engine.registers.hflags |= HFLAG_TF | HFLAG_BY_BLOCK
    assert engine.enter(Stop.WATCHED_INSTRUCTION) == Stop.WATCHED_INSTRUCTION
    assert (engine.blob.saved, engine.blob.asked) == (CONTEXT, [(RIP, 0)])
    assert (engine.registers.eflags, engine.state.long_mode, engine.state.mxcsr) == (2, 1, 0x1F80)
    assert engine.parts == (0x5555, 0x1F80 | 0x20, 0, -1)
    assert (engine.registers.hflags, engine.state.rflags) == (HFLAG_CODE_64, 2 | RF)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rf_ends_with_an_instruction(architecture: str) -> None:
    engine = Engine(architecture)
    engine.state.rflags |= RF
    engine.blob.enter(engine.state, engine.registers, bytes(PARTS.size), lambda: 0)  # without a reason: HLT
    engine.state.rflags = 2  # as the hook reads it from the engine
    assert engine.enter(Stop.DEADLINE, retires=1) == Stop.DEADLINE
    assert engine.state.rflags == 2


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    ("reason", "vector", "status"),
    [
        *((Stop.HALT, 0, 0), (Stop.DEADLINE, 0, 14), (Stop.INTERRUPT, 14, 0)),
        *((reason, 0, 0) for reason in (Stop.REPEAT, Stop.WARM, Stop.BLOCK, Stop.EXAMINE)),
    ],
)
def test_other_stops_are_left_to_python(architecture: str, reason: Stop, vector: int, status: int) -> None:
    engine = Engine(architecture)
    assert engine.enter(reason, vector=vector, status=status) == -1 - status
    assert engine.parts[0] == FAULTED
    assert engine.state.entry_cr2 == 0x5555


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_int_14_is_no_page_fault(architecture: str) -> None:
    engine = Engine(architecture)
    assert engine.enter(Stop.INTERRUPT, vector=14, is_int=True) == Stop.INTERRUPT
    assert engine.parts[0] == 0x5555


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("change", ["stepping", "pause", "es", "ss", "ds"])
def test_what_needs_preparation_is_not_entered(architecture: str, change: str) -> None:
    engine = Engine(architecture, retired=5)
    if change == "stepping":
        engine.state.stepping = 1
    elif change == "pause":
        engine.state.pause = 5
    else:
        getattr(engine.registers, change).base = 1
    assert engine.enter(Stop.DEADLINE) == NOT_ENTERED
    assert (engine.blob.saved, engine.blob.asked) == (0, [])
    if len(change) == 2:
        engine.registers.hflags = 0  # outside 64-bit mode bases are added
        assert engine.enter(Stop.DEADLINE) == Stop.DEADLINE


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("hflags", "rip"), [(HFLAG_CODE_64, 0x1_0000_0004), (0, 4)])
def test_rip_wraps_outside_64_bit_mode(architecture: str, hflags: int, rip: int) -> None:
    engine = Engine(architecture)
    engine.registers.rip, engine.registers.hflags = 0x1_0000_0004, hflags
    assert engine.enter(Stop.DEADLINE) == Stop.DEADLINE
    assert engine.registers.rip == rip
