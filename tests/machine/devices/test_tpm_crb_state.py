"""The state of the CRB, after a reset and in a snapshot."""

from typing import Any

import pytest

from machine.devices.tpm_crb import CTRL_STS, LOC_CTRL, LOC_STS, RELINQUISH, REQUEST_ACCESS
from machine.state import State
from machine.tpm.model import TpmModel
from tests.machine.devices.crb_driver import Scripted, device, get, put, ready, run
from tests.machine.tpm import commands as tpm

COMMAND = tpm.startup()
STREAM = [
    tpm.startup(),
    tpm.extend(8),
    tpm.create_primary(),
    tpm.create_primary(tpm.MLDSA_AK),
    tpm.get_random(32),
    tpm.quote(),
    tpm.quote(0x8000_0001),
    tpm.shutdown(tpm.STATE),
]


@pytest.mark.parametrize("at", range(len(STREAM) + 1))
def test_going_on_from_a_snapshot_is_going_on(at: int) -> None:
    crb = device(TpmModel(b"s" * 32))
    for command in STREAM[:at]:
        run(crb, command)
    state: State = crb.save_state()
    rest = [run(crb, command) for command in STREAM[at:]]
    other = device(TpmModel(b"another seed of 32 bytes or more "))
    for restored in (crb, other):
        restored.load_state(state)
        assert [run(restored, command) for command in STREAM[at:]] == rest


def test_a_snapshot_in_the_middle_of_a_command_holds_the_buffer() -> None:
    crb = device(Scripted())
    ready(crb)
    put(crb, COMMAND)
    state = crb.save_state()
    crb.write(LOC_CTRL, 4, RELINQUISH)
    crb.load_state(state)
    assert (get(crb, len(COMMAND)), crb.read(CTRL_STS, 4)) == (COMMAND, 0)


def test_reset_is_a_reset_of_the_tpm() -> None:
    crb = device(TpmModel(b"s" * 32))
    assert tpm.code_of(run(crb, tpm.startup())) == 0
    assert tpm.code_of(run(crb, tpm.startup())) == 0x100
    crb.write(LOC_CTRL, 4, REQUEST_ACCESS)
    crb.reset()
    assert crb.read(LOC_STS, 4) == 0
    assert tpm.code_of(run(crb, tpm.startup())) == 0


def plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(plain(key) and plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(plain, value))
    return value is None or type(value) in (bool, int, str, bytes, bytearray)


def test_the_state_is_numbers_and_bytes_that_a_file_can_hold() -> None:
    crb = device(TpmModel(b"s" * 32))
    for command in STREAM:
        run(crb, command)
        assert plain(crb.save_state())
