"""The fixtures: they make enclaves, machines and recordings. The quoted tests are a user's."""

import struct
from pathlib import Path

import pytest

from enclave_sim import Enclave
from tests.enclave_sim.testing.plugin.user import Runner

pytest_plugins = ["pytester"]

HEAVY = ["unicorn", "wasmtime", "cryptography", "msgspec", "enclave_sim.enclave", "machine.machine"]


@pytest.mark.slow
def test_the_emulator_is_not_imported_until_a_fixture_is_used(run: Runner) -> None:
    tests = f"""
import sys
def test_one_without_and_one_that_does_not_call_its_fixtures(enclave, observed, recording, machine):
    assert [name for name in {HEAVY} if name in sys.modules] == []
def test_one_that_does(enclave):
    enclave("counter")
    assert {{"unicorn", "enclave_sim.enclave"}} <= sys.modules.keys()
"""
    run(tests, process=True).assert_outcomes(passed=2)


def test_enclave_makes_a_fresh_enclave_with_a_recording(run: Runner) -> None:
    digest = Enclave("counter", cycles=3).run().digest
    tests = f"""
def test_counter(enclave, recording):
    first = enclave("counter", cycles=3)
    assert recording() is first.recording
    assert first.phase is None
    assert first.run().digest == first.recording.digest == {digest!r}
    second = enclave("counter", cycles=3)
    assert second.run() == first.run() and second is not first
    assert recording() is second.recording
"""
    run(tests).assert_outcomes(passed=1)


def test_the_marker_sets_defaults_and_the_closest_one_and_the_call_win(run: Runner) -> None:
    tests = """
import pytest
pytestmark = pytest.mark.enclave("counter", cycles=2, quantum_ns=200_000)
def asked(enclave):
    return {name: getattr(enclave.configuration, name) for name in ("cycles", "quantum_ns")}
def test_of_the_module(enclave, observed):
    assert asked(enclave()) == {"cycles": 2, "quantum_ns": 200_000}
    assert observed().scenario.payload == "counter"
    assert observed().result.cycles == 2
@pytest.mark.enclave(cycles=3)
def test_closer(enclave, observed):
    assert asked(enclave()) == {"cycles": 3, "quantum_ns": 200_000}
    assert asked(enclave("counter", cycles=4)) == {"cycles": 4, "quantum_ns": 200_000}
    assert observed("beacon", cycles=1).scenario.payload == "beacon"
    assert observed(limit_ns=1000).result.outcome == "LIMIT"
@pytest.mark.enclave(payload="beacon")
def test_payload_by_name(observed):
    assert observed().scenario.payload == "beacon"
"""
    run(tests).assert_outcomes(passed=3)


def test_recording_reads_files_and_refuses_what_is_none(run: Runner) -> None:
    tests = """
import pytest
from enclave_sim.errors import ConfigurationError
from enclave_sim.recording.format import RecordingError
from enclave_sim.testing import assert_same_recording
def test_it(enclave, recording, tmp_path):
    with pytest.raises(ConfigurationError, match="has made no enclave yet"):
        recording()
    enclave("counter").run()
    recording().save(tmp_path / "saved")
    assert_same_recording(recording(tmp_path / "saved"), recording())
    with pytest.raises(ConfigurationError, match="cannot read .*none: No such file"):
        recording(tmp_path / "none")
    (tmp_path / "text").write_text("something else")
    with pytest.raises(RecordingError, match="is not a recording"):
        recording(str(tmp_path / "text"))
    with pytest.raises(ConfigurationError, match="keep a recording of every enclave"):
        enclave("counter", record=False)
def test_another(recording):
    with pytest.raises(ConfigurationError, match="has made no enclave yet"):
        recording()
"""
    run(tests).assert_outcomes(passed=2)


@pytest.mark.slow
def test_enclaves_do_not_outlive_their_use(run: Runner) -> None:
    tests = """
import gc
from enclave_sim import Enclave
def count():
    gc.collect()
    return sum(isinstance(one, Enclave) for one in gc.get_objects())
def test_it(enclave, observed):
    before = count()
    observed("counter")
    enclave("counter").run()
    assert count() == before
"""
    run(tests).assert_outcomes(passed=1)


def echo_kernel() -> bytes:
    """A flat Multiboot 1 image that writes its command line to the serial line, then exits."""
    base = 0x10_0000
    code = bytes.fromhex("8b7310 66baf803 ac 84c0 7403 ee ebf8 b000 e6f4 f4 ebfd")
    header = struct.pack(
        "<8I", 0x1BADB002, 1 << 16, -(0x1BADB002 + (1 << 16)) & 0xFFFF_FFFF, base, base, 0, 0, base + 32
    )
    return header + code


def test_machine_boots_a_kernel_with_command_line_and_modules(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "kernel").write_bytes(echo_kernel())
    tests = f"""
import pytest
from pathlib import Path
from enclave_sim.errors import ConfigurationError
from machine.errors import MachineError
KERNEL = Path({str(tmp_path / "kernel")!r})
class Recorder:
    def __init__(self):
        self.events = []
    def record(self, event):
        self.events.append(event)
def test_it(machine):
    recorder = Recorder()
    booted = machine(KERNEL, command_line="verbose", modules=[b"first module", (KERNEL, "second")],
                     ram_size=4 << 20, recorder=recorder)
    assert "ScrubEngine" not in [type(device).__name__ for device in booted.bus.devices]
    assert booted.ram.size == 4 << 20 and booted.clock.now_ns == 0
    assert b"first module" in bytes(booted.ram.view) and b"second" in bytes(booted.ram.view)
    booted.run()
    assert booted.uart.transmitted == b"verbose"
    assert booted.debug_exit.status == 1 and recorder.events
    assert machine(KERNEL.read_bytes()).ram.size == 128 << 20
def test_what_cannot_be(machine):
    with pytest.raises(ConfigurationError, match="cannot read .*: No such file"):
        machine(KERNEL.with_name("none"))
    with pytest.raises(MachineError, match="header"):
        machine(b"no kernel")
"""
    run(tests).assert_outcomes(passed=2)
