"""The windows of RFLAGS.IF are those that single steps over the same run find, with their causes."""

from itertools import pairwise
from typing import Any

import pytest

import firmware
import payloads
from enclave_sim import Enclave
from enclave_sim.enclave.interrupt_flag_trace import InterruptFlagTrace, _name
from enclave_sim.enclave.kernel.bare_kernel import BareKernel
from enclave_sim.inputs import AfterEvent, ExternalInterrupt, RegisterWrite, Tamper
from enclave_sim.recording.interrupt_windows import Window
from enclave_sim.time_travel import Position, Session
from tests.sampling import explored

INPUTS = (
    ExternalInterrupt(at_ns=2_500, after=AfterEvent("wake_scheduled")),
    RegisterWrite(at_ns=700_000, register="rflags", value=0x202),
    RegisterWrite(at_ns=700_100, register="rflags", value=2),
)
RUNS: dict[str, dict[str, Any]] = {
    **{name: {"payload": name} for name in payloads.names() if name != "spinner"},
    **{f"flat {name}": {"payload": name, "engine": "native", "quantum_ns": 20_000} for name in payloads.flat_names()},
    "inputs": {"payload": "counter", "cycles": 2, "inputs": INPUTS},
    "tampered": {"payload": "beacon", "cycles": 2, "inputs": (Tamper(at_ns=2_000_000),)},
}


def windows_of(**arguments: Any) -> tuple[list[Window], str]:
    enclave = Enclave(**arguments)
    trace = InterruptFlagTrace(enclave)
    digest = enclave.run().digest
    return trace.windows(), digest


def stepped(**arguments: Any) -> list[tuple[Position, bool, int]]:
    """Every change of the flag that single steps find, with the events before it."""
    payload = arguments.pop("payload")
    session = Session(payload, **arguments)
    cpu = session.machine.cpu
    found = [(session.now, bool(cpu.rflags & 0x200), 0)]
    while session._timeline.step():
        enabled = bool(cpu.rflags & 0x200)
        if enabled is not found[-1][1]:
            found.append((session.now, enabled, session._timeline.seen))
    return found


@pytest.mark.slow
@pytest.mark.complete
@pytest.mark.parametrize("name", explored(RUNS, "counter", "beacon", "trespasser", "flat stray", "inputs", "tampered"))
def test_windows_are_what_single_steps_find_and_the_run_is_the_same(name: str) -> None:
    windows, digest = windows_of(**RUNS[name])
    begun = [(Position(one.begin_ns, one.begin_step), one.enabled, one.first_event) for one in windows]
    assert begun == stepped(**RUNS[name])
    assert digest == Enclave(**RUNS[name]).run().digest
    for one, following in pairwise(windows):
        assert (one.end_ns, one.end_step) == (following.begin_ns, following.begin_step)
    assert all(one.duration_ns == one.end_ns - one.begin_ns for one in windows)


def test_windows_of_a_part_are_what_single_steps_find() -> None:
    windows, _ = windows_of(payload="counter", cycles=2)
    session = Session("counter", cycles=2)
    session.run_to(event="host_called")
    first, enabled, found = session.now, bool(session.machine.cpu.rflags & 0x200), []
    for _ in range(2000):
        session.step()
        if bool(session.machine.cpu.rflags & 0x200) is not enabled:
            enabled = not enabled
            found.append((session.now, enabled))
    begun = [(Position(one.begin_ns, one.begin_step), one.enabled) for one in windows]
    assert len(found) > 3
    assert [one for one in begun if first < one[0] <= session.now] == found


def test_each_window_names_what_began_it() -> None:
    windows, _ = windows_of(**RUNS["inputs"])
    symbols = {(one.begun_by, one.symbol.partition("+")[0]) for one in windows}
    assert symbols == {
        ("reset", ""),
        ("input", ""),
        ("interrupt", ""),
        ("sti", "idle"),
        ("cli", "idle"),
        ("iret", "return_to_guest"),
        ("iret", "irq_entry"),
    }
    assert [one.begun_by for one in windows[:3]] == ["reset", "input", "input"]
    assert all((one.rip is None) == (one.begun_by in ("reset", "input", "interrupt")) for one in windows)


def test_a_bare_kernel_is_traced_too() -> None:
    kernel = BareKernel("aether.elf", firmware.built_in().image, ram_bytes=16 << 20)
    trace = InterruptFlagTrace(kernel)
    kernel.advance(1_000_000)
    (window,) = trace.windows()
    assert (window.enabled, window.begun_by, window.duration_ns) == (False, "reset", kernel.machine.clock.now_ns)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("fa", "cli"), ("fb90", "sti"), ("9d", "popf"), ("669d", "popf"), ("48cf", "iret"), ("0f05", "syscall"),
        ("480f07", "sysret"), ("0f34", "sysenter"), ("480f35", "sysexit"), ("0fff", "other"), ("9a", "other"),
        ("", "other"), ("48", "other"), ("0f", "other"),
    ],
)  # fmt: skip
def test_names_of_instructions(code: str, name: str) -> None:
    assert _name(bytes.fromhex(code)) == name
