"""The window onto a device's memory: it answers like the device, only faster."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machine.bus.bus import MMIO_BASE, Bus
from machine.bus.mmio_window import Window
from machine.devices import tpm_crb
from machine.devices.tpm_crb import (
    BUFFER,
    BUFFER_BYTES,
    CMD_READY,
    CTRL_REQ,
    CTRL_START,
    GO_IDLE,
    LOC_CTRL,
    RELINQUISH,
    REQUEST_ACCESS,
    TpmCrb,
)
from machine.errors import MachineError
from machine.machine import Machine, MachineConfiguration, Outcome
from machine.processor.native.build import ARCHITECTURES
from machine.state import Stateful
from tests.machine.native_code import FROM_BUS, Blob

CODE, ANSWERS = 0x10_0000, 0x20_0000
LOADS = {1: "a0", 2: "66a1", 4: "a1", 8: "0f6f05"}
STORES = {1: "a2", 2: "66a3", 4: "a3", 8: "0f7f05"}
"""MOV between AL, AX or EAX and memory, and MOVQ between MM0 and memory."""
IMMEDIATES = {1: "c605", 2: "66c705", 4: "c705"}
HLT = b"\xf4"


class Echo(Stateful):
    """A TPM that answers each byte of a command changed."""

    def power_on(self) -> None:
        pass

    def execute(self, command: bytes, locality: int) -> bytes:  # noqa: ARG002 - a back end's shape
        return bytes(byte ^ 0x5A for byte in command).ljust(64, b"\xa5")


Access = tuple[int, int, int | None]
"""Offset in the device's block, size in bytes, and the value written; None for a read."""


class Pc:
    """A machine with a TPM, whose processor only accesses the TPM."""

    def __init__(self, *, portable: bool) -> None:
        self.machine = Machine(MachineConfiguration(16 << 20, portable=portable))
        self.crb = self.machine.chipset.attach_tpm(Echo())

    def run(self, accesses: Iterable[Access]) -> tuple[list[int], int]:
        """The values read, and the number of bus accesses since power-on."""
        code = b""
        sizes: list[int] = []
        for offset, size, value in accesses:
            address = (tpm_crb.ADDRESS + offset).to_bytes(4, "little")
            if value is None:
                answer = (ANSWERS + 8 * len(sizes)).to_bytes(4, "little")
                code += bytes.fromhex(LOADS[size]) + address + bytes.fromhex(STORES[size]) + answer
                sizes.append(size)
            else:
                code += bytes.fromhex(IMMEDIATES[size]) + address + value.to_bytes(size, "little")
        machine = self.machine
        machine.ram.write(CODE, code + HLT)
        machine.start(CODE, {})
        assert machine.run() is Outcome.HALTED
        found = [machine.ram.read(ANSWERS + 8 * index, size) for index, size in enumerate(sizes)]
        return [int.from_bytes(answer, "little") for answer in found], machine.bus.accesses


def command(data: bytes) -> list[Access]:
    """From idle: make ready, copy in a command with this in it, and start it."""
    whole = b"\x80\x01" + (10 + len(data)).to_bytes(4, "big") + bytes(4) + data
    words = [int.from_bytes(whole[at : at + 4], "little") for at in range(0, len(whole), 4)]
    copied: list[Access] = [(BUFFER + 4 * index, 4, word) for index, word in enumerate(words)]
    return [(CTRL_REQ, 4, CMD_READY), *copied, (CTRL_START, 4, 1)]


GRANT: Access = (LOC_CTRL, 4, REQUEST_ACCESS)
edges = st.one_of(
    st.integers(BUFFER - 9, BUFFER + 80), st.integers(BUFFER + BUFFER_BYTES - 16, BUFFER + BUFFER_BYTES - 1)
)
reads = st.tuples(edges, st.sampled_from([1, 2, 4, 8]), st.none())
writes = st.one_of(
    st.tuples(edges, st.just(1), st.integers(0, 0xFF)),
    st.tuples(edges, st.just(2), st.integers(0, 0xFFFF)),
    st.tuples(edges, st.just(4), st.integers(0, 0xFFFF_FFFF)),
    st.tuples(st.just(LOC_CTRL), st.just(4), st.sampled_from([REQUEST_ACCESS, RELINQUISH])),
    st.tuples(st.just(CTRL_REQ), st.just(4), st.sampled_from([CMD_READY, GO_IDLE])),
    st.tuples(st.just(CTRL_START), st.just(4), st.just(1)),
)
programs = st.lists(
    st.one_of(reads.map(lambda read: [read]), writes.map(lambda write: [write]), st.binary(max_size=60).map(command)),
    max_size=12,
).map(lambda parts: [access for part in parts for access in part])


@settings(max_examples=60)
@given(first=programs, second=programs, granted=st.booleans())
def test_native_and_portable_machines_read_and_count_alike_also_from_a_snapshot(
    first: list[Access], second: list[Access], granted: bool
) -> None:
    if granted:
        first = [GRANT, *first]
    native, portable, third = Pc(portable=False), Pc(portable=True), Pc(portable=False)
    assert native.run(first) == portable.run(first)
    snapshot = native.machine.snapshot()
    after = native.run(second)
    assert portable.run(second) == after
    third.run([GRANT])
    for pc in (native, portable, third):
        pc.machine.restore(snapshot)
        assert pc.run(second) == after


@given(offset=st.integers(BUFFER, 0xFFF), size=st.sampled_from([1, 2, 4, 8]))
@settings(max_examples=60)
def test_the_processor_reads_of_the_buffer_what_the_device_says(offset: int, size: int) -> None:
    pc = Pc(portable=False)
    pc.run([GRANT, *command(bytes(range(60)))])
    size = min(size, 1 << (0x1000 - offset).bit_length() - 1)
    assert pc.run([(offset, size, None)])[0] == [pc.crb.read(offset, size)]


def test_native_code_answers_reads_of_the_buffer_while_the_locality_is_granted() -> None:
    pc = Pc(portable=False)
    if not pc.machine.cpu.engine.native:
        pytest.skip("this host loads no native code")
    window, read = pc.machine.bus.window, (BUFFER, 4, None)
    assert (pc.run([read])[0], window.reads) == ([0xFFFF_FFFF], 0)
    pc.run([GRANT, read, read])
    assert window.reads == 2
    granted = pc.machine.snapshot()
    assert (pc.run([(LOC_CTRL, 4, RELINQUISH), read])[0], window.reads) == ([0xFFFF_FFFF], 2)
    pc.machine.restore(granted)
    assert window.reads == 0  # the restored count has them
    pc.run([read])
    assert window.reads == 1
    pc.machine.chipset.reset()
    assert (pc.run([read])[0], window.reads) == ([0xFFFF_FFFF], 1)


def test_native_code_takes_writes_to_the_buffer_while_a_command_is_received() -> None:
    pc = Pc(portable=False)
    if not pc.machine.cpu.engine.native:
        pytest.skip("this host loads no native code")
    window, write = pc.machine.bus.window, (BUFFER + 20, 4, 0x1234_5678)
    ready = (CTRL_REQ, 4, CMD_READY)
    pc.run([write, GRANT, write])
    assert window.writes == 0
    pc.run([ready, write])
    assert window.writes == 0  # the device itself takes the first byte of a command
    received = pc.machine.snapshot()
    pc.run([write, write])
    assert window.writes == 2
    assert pc.crb.read(BUFFER + 20, 4) == 0x1234_5678
    pc.machine.restore(received)
    assert window.writes == 0  # the restored count has them
    pc.run([write, (CTRL_REQ, 4, GO_IDLE), write])
    assert window.writes == 1
    assert pc.crb.read(BUFFER + 20, 4) == 0
    pc.run([*command(bytes(20)), write])
    assert window.writes == 1 + len(command(bytes(20))) - 3
    assert pc.crb.read(BUFFER + 20, 4) == 0x5A5A_5A5A
    pc.machine.restore(received)
    pc.run([(LOC_CTRL, 4, RELINQUISH), write])
    assert window.writes == 0


def test_without_native_code_the_bus_answers_all_reads() -> None:
    pc = Pc(portable=True)
    assert pc.run([GRANT, (BUFFER, 4, None), (BUFFER, 4, None)])[1] == 3
    assert pc.machine.bus.window.reads == 0


def test_memory_in_the_window_cannot_be_resized() -> None:
    window, memory = Window(), bytearray(4)
    window.show(memory)
    memory[:] = b"1234"
    with pytest.raises(BufferError):
        memory.append(5)
    assert memory == b"1234"
    window.show(None)
    memory.append(5)


def test_a_machine_has_one_window() -> None:
    bus = Bus()
    crb, other = Pc(portable=True).crb, Pc(portable=True).crb
    bus.attach_memory(crb, tpm_crb.ADDRESS)
    first = bus.window.first
    with pytest.raises(MachineError, match="0xfed50000 has a window"):
        bus.attach_memory(other, 0xFED5_0000)
    assert (first, bus.window.first, bus.devices) == (tpm_crb.ADDRESS - MMIO_BASE + TpmCrb.WINDOW.start, first, [crb])


BOTH = {name: Blob(name) for name in ARCHITECTURES}
ACCESSES = {
    "first": st.sampled_from([0, 0x80, 0x14_0080]),
    "memory": st.binary(max_size=24),
    "at": st.one_of(st.integers(-9, 33), st.sampled_from([1 << 32, -(1 << 63)])),
    "size": st.sampled_from([1, 2, 4, 8]),
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@settings(max_examples=300)
@given(**ACCESSES)
def test_native_code_answers_what_lies_inside_and_asks_the_bus_for_all_else(
    architecture: str, first: int, memory: bytes, at: int, size: int
) -> None:
    blob, window, offset = BOTH[architecture], Window(first=first, size=len(memory), reads=7), first + at & 2**64 - 1
    value = blob.on_device_read(window, memory, offset, size)
    if 0 <= at <= len(memory) - size:
        assert (value, window.reads, blob.asked) == (int.from_bytes(memory[at : at + size], "little"), 8, [])
    else:
        assert (value, window.reads, blob.asked) == (FROM_BUS, 7, [(offset, size)])
    assert (window.first, window.size) == (first, len(memory))


WRITING = {name: Blob(name, "device_writes") for name in ARCHITECTURES}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@settings(max_examples=300)
@given(
    **ACCESSES,
    value=st.integers(0, 2**64 - 1),
    writable=st.booleans(),
)
def test_native_code_takes_writes_that_lie_inside_and_passes_on_all_else(
    architecture: str, first: int, memory: bytes, at: int, size: int, value: int, writable: bool
) -> None:
    blob, offset = WRITING[architecture], first + at & 2**64 - 1
    window = Window(first=first, size=len(memory), writes=7, writable=writable)
    after = blob.on_device_write(window, memory, offset, size, value)
    if writable and 0 <= at <= len(memory) - size:
        low = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
        assert (after, window.writes, blob.asked) == (memory[:at] + low + memory[at + size :], 8, [])
    else:
        assert (after, window.writes, blob.asked, blob.written) == (memory, 7, [(offset, size)], value)
    assert (window.first, window.size, window.writable) == (first, len(memory), writable)
