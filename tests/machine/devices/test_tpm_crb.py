"""The CRB from a driver's view (TCG PC Client Platform TPM Profile)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.devices import tpm_crb
from machine.devices.tpm_crb import (
    BUFFER,
    BUFFER_BYTES,
    CMD_READY,
    CTRL_REQ,
    CTRL_START,
    CTRL_STS,
    EXECUTION_NS,
    FATAL,
    GO_IDLE,
    IDLE,
    LOC_CTRL,
    LOC_STATE,
    LOC_STS,
    RELINQUISH,
    REQUEST_ACCESS,
    SIMPLE_NS,
)
from machine.machine import Machine, MachineConfiguration
from machine.tpm.constants import Rc
from machine.tpm.messages import error_response
from machine.tpm.model import TpmModel
from tests.machine.devices.crb_driver import Scripted, device, get, put, ready, run
from tests.machine.tpm import commands as tpm

COMMAND = tpm.startup()
BAD_SIZE = error_response(Rc.COMMAND_SIZE)


def test_the_interface_names_itself_a_crb_with_a_buffer_of_3968_bytes() -> None:
    crb = device(Scripted())
    assert crb.read(0x30, 4) & 0xFF == 0x11
    assert crb.read(0x30, 8) == crb.read(0x30, 4)
    assert [crb.read(offset, 4) for offset in (0x58, 0x5C, 0x60, 0x64, 0x68, 0x6C)] == [
        0xF80,
        0xFED4_0080,
        0,
        0xF80,
        0xFED4_0080,
        0,
    ]
    assert crb.read(0x68, 8) == 0xFED4_0080


@given(offset=st.integers(0, BUFFER - 8), size=st.sampled_from([1, 2, 4, 8]))
def test_registers_read_alike_in_any_width(offset: int, size: int) -> None:
    crb = device(Scripted())
    crb.write(LOC_CTRL, 4, REQUEST_ACCESS)
    whole = b"".join(crb.read(at, 4).to_bytes(4, "little") for at in range(0, BUFFER, 4))
    assert crb.read(offset, size) == int.from_bytes(whole[offset : offset + size], "little")


def test_locality_0_is_granted_on_request_and_given_back() -> None:
    crb = device(Scripted())
    assert (crb.read(LOC_STATE, 4), crb.read(LOC_STS, 4)) == (0x81, 0)
    crb.write(LOC_CTRL, 4, REQUEST_ACCESS)
    assert (crb.read(LOC_STATE, 4), crb.read(LOC_STS, 4)) == (0x83, 1)
    crb.write(LOC_CTRL, 4, RELINQUISH)
    assert (crb.read(LOC_STATE, 4), crb.read(LOC_STS, 4)) == (0x81, 0)


def test_ready_and_idle_are_reached_at_once() -> None:
    crb = device(Scripted())
    assert crb.read(CTRL_STS, 4) == IDLE
    ready(crb)
    assert (crb.read(CTRL_REQ, 4), crb.read(CTRL_STS, 4)) == (0, 0)
    crb.write(CTRL_REQ, 4, GO_IDLE)
    assert (crb.read(CTRL_REQ, 4), crb.read(CTRL_STS, 4)) == (0, IDLE)


@given(
    write=st.sampled_from([1, 2, 4, 8]), read=st.sampled_from([1, 2, 4, 8]), data=st.binary(min_size=16, max_size=400)
)
def test_a_command_is_copied_in_and_out_in_any_width(write: int, read: int, data: bytes) -> None:
    backend = Scripted(tpm.with_size)
    crb = device(backend)
    ready(crb)
    command = tpm.command(0x17B, data)
    put(crb, command, write)
    assert get(crb, len(command), read) == command
    crb.write(CTRL_START, 4, 1)
    assert (backend.commands, get(crb, len(command), read)) == ([command], command)


@pytest.mark.parametrize(
    ("command", "ns"),
    [(tpm.startup(), SIMPLE_NS), (tpm.create_primary(), EXECUTION_NS[0x131]), (tpm.quote(), EXECUTION_NS[0x158])],
)
def test_a_command_takes_its_virtual_time(command: bytes, ns: int) -> None:
    crb = device(Scripted())
    ready(crb)
    put(crb, command)
    before = crb._clock.now_ns
    crb.write(CTRL_START, 4, 1)
    assert crb._clock.now_ns - before == ns


def test_whoever_listens_is_told_of_every_command_and_its_response() -> None:
    crb = device(TpmModel(b"s" * 32))
    heard: list[tuple[bytes, bytes]] = []
    crb.on_command = lambda command, response: heard.append((command, response))
    sent = [tpm.startup(), tpm.extend(8), tpm.pcr_read()]
    assert [(command, run(crb, command)) for command in sent] == heard
    assert all(tpm.code_of(response) == 0 for _, response in heard)


def test_without_the_locality_nothing_is_accepted_and_the_buffer_is_all_ones() -> None:
    backend = Scripted()
    crb = device(backend)
    crb.write(CTRL_REQ, 4, CMD_READY)
    put(crb, COMMAND)
    crb.write(CTRL_START, 4, 1)
    assert (backend.commands, crb.read(CTRL_STS, 4), get(crb, 8)) == ([], IDLE, b"\xff" * 8)
    crb.write(LOC_CTRL, 4, REQUEST_ACCESS)
    assert get(crb, BUFFER_BYTES) == bytes(BUFFER_BYTES)


def test_in_idle_the_buffer_takes_nothing() -> None:
    backend = Scripted()
    crb = device(backend)
    crb.write(LOC_CTRL, 4, REQUEST_ACCESS)
    put(crb, COMMAND)
    crb.write(CTRL_START, 4, 1)
    assert (backend.commands, get(crb, len(COMMAND))) == ([], bytes(len(COMMAND)))


def test_start_before_anything_was_copied_is_ignored() -> None:
    backend = Scripted()
    crb = device(backend)
    ready(crb)
    crb.write(CTRL_START, 4, 1)
    assert (backend.commands, get(crb, 10)) == ([], bytes(10))


def test_after_a_response_only_idle_leads_on() -> None:
    backend = Scripted()
    crb = device(backend)
    ready(crb)
    put(crb, COMMAND)
    crb.write(CTRL_START, 4, 1)
    response = get(crb, 16)
    crb.write(CTRL_REQ, 4, CMD_READY)
    put(crb, b"\xff" * 16)
    crb.write(CTRL_START, 4, 1)
    assert (backend.commands, get(crb, 16)) == ([COMMAND], response)


@pytest.mark.parametrize("leave", [(CTRL_REQ, GO_IDLE), (LOC_CTRL, RELINQUISH)])
def test_idle_and_relinquish_clear_the_buffer(leave: tuple[int, int]) -> None:
    crb = device(Scripted())
    ready(crb)
    put(crb, COMMAND)
    crb.write(leave[0], 4, leave[1])
    crb.write(LOC_CTRL, 4, REQUEST_ACCESS)
    assert (get(crb, BUFFER_BYTES), crb.read(CTRL_STS, 4)) == (bytes(BUFFER_BYTES), IDLE)


@pytest.mark.parametrize("size", [0, 9, BUFFER_BYTES + 1, 0xFFFF_FFFF])
def test_a_size_that_no_command_in_the_buffer_has_is_answered_by_the_interface(size: int) -> None:
    backend = Scripted()
    assert (run(device(backend), tpm.with_size(tpm.startup(), size)), backend.commands) == (BAD_SIZE, [])


def test_a_header_cut_short_is_answered_by_the_interface() -> None:
    backend = Scripted()
    assert (run(device(backend), b"\x80\x01"), backend.commands) == (BAD_SIZE, [])


def test_the_largest_command_and_response_fit() -> None:
    command = tpm.command(0x17B, bytes(BUFFER_BYTES - 10))
    backend = Scripted(command)
    assert (run(device(backend), command), backend.commands) == (command, [command])


def test_writes_past_the_end_of_the_block_change_nothing_else() -> None:
    crb = device(Scripted())
    ready(crb)
    crb.write(0xFFC, 8, 0x1122_3344_5566_7788)
    assert get(crb, BUFFER_BYTES) == bytes(BUFFER_BYTES - 4) + bytes.fromhex("88776655")
    assert len(crb.save_state()["_buffer"]) == BUFFER_BYTES


@pytest.mark.parametrize("answer", ["the connection ended", bytes(BUFFER_BYTES + 1)])
def test_a_tpm_without_an_answer_is_a_fatal_error_and_the_buffer_stays(answer: str | bytes) -> None:
    backend = Scripted(answer)
    crb = device(backend)
    heard: list[tuple[bytes, bytes]] = []
    crb.on_command = lambda *command: heard.append(command)
    ready(crb)
    put(crb, COMMAND)
    crb.write(CTRL_START, 4, 1)
    assert (crb.read(CTRL_START, 4), crb.read(CTRL_STS, 4), heard) == (0, FATAL, [])
    assert get(crb, len(COMMAND)) == COMMAND
    assert crb.failure is not None
    crb.write(CTRL_START, 4, 1)
    crb.write(CTRL_REQ, 4, GO_IDLE)
    assert (backend.commands, crb.read(CTRL_STS, 4)) == ([COMMAND], FATAL | IDLE)
    crb.reset()
    assert crb.read(CTRL_STS, 4) == IDLE


def test_the_chipset_puts_it_where_a_pc_has_it() -> None:
    machine = Machine(MachineConfiguration(16 << 20))
    crb = machine.chipset.attach_tpm(TpmModel(b"s" * 32))
    at = tpm_crb.ADDRESS - 0xFEC0_0000
    machine.chipset.bus.write_memory(at + LOC_CTRL, 4, REQUEST_ACCESS)
    assert (crb.read(LOC_STS, 4), machine.chipset.bus.read_memory(at + LOC_STS, 4)) == (1, 1)
    assert machine.chipset.bus.read_memory(at + 0x1000 + LOC_STS, 4) == 0xFFFF_FFFF  # locality 1
