"""Engine resident: the kernel validates modules and interprets them in ring 3, and everything else works as usual.

Held against wasmtime: each payload makes the same host calls, with the same memory at each of them, and ends in the
same way.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from wasmtime import wat2wasm

import payloads
from enclave_sim import Enclave, Phase, Template, events
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.errors import ConfigurationError
from enclave_sim.guarantees import isolated, noninterference, observe, zero_trace
from enclave_sim.guarantees.observation import Scenario, observe_scenario
from enclave_sim.guarantees.variations import with_other_data
from enclave_sim.memory_map import region
from enclave_sim.payload.errors import PayloadRejected
from enclave_sim.payload.keys import development_key
from enclave_sim.payload.signature import sign
from enclave_sim.recording.outcome.summary import RunResult
from enclave_sim.specification import Step
from enclave_sim.strategies import WasmGuest, wasm_guests
from enclave_sim.time_travel import Session
from enclave_sim.time_travel.snapshot_file import load, save
from machine.events import Event, InterruptRaised
from tests.firmware.vmm.cases import module

_MARKS = {"spinner": [pytest.mark.long], "digest": [pytest.mark.slow], "abyss": [pytest.mark.slow]}
RUNS = [pytest.param(name, marks=_MARKS.get(name, [])) for name in payloads.names()]
DIVIDE = {"integer divide by zero", "integer overflow"}, "integer divide by zero or overflow"


class Watcher:
    """Notes each host call, with the memory of the guest that makes it, and how guests begin and end."""

    def __init__(self) -> None:
        self.enclave: Enclave
        self.seen: list[Any] = []
        self.exceptions: list[int] = []
        """Vectors taken in ring 3, with INT 80h: a coprocessor reports a host call before it, the kernel after it."""

    def record(self, event: Event) -> None:
        """Take one event."""
        match event:
            case events.HostCalled():
                heap = region("heap")
                memory = hashlib.sha256(self.enclave.machine.ram.read(heap.base, heap.size)).digest()
                self.seen.append(("call", event.name, event.argument, memory))
            case events.HostReturned():
                self.seen.append(("answer", event.number, event.result))
            case events.GuestInstantiated():
                self.seen.append(("guest", event.payload, event.cycle, event.memory_bytes))
            case events.GuestTrapped():
                self.seen.append(("trap", event.trap, DIVIDE[1] if event.detail in DIVIDE[0] else event.detail))
            case InterruptRaised() if event.ring == 3 and event.source != "external":
                self.exceptions.append(event.vector)
            case events.GuestDestroyed():
                self.seen.append(("destroyed",))


def run(payload: Any, engine: str = "resident", **options: Any) -> tuple[list[Any], RunResult]:
    """Run a payload, and return what its guests did, and the result."""
    watcher = Watcher()
    watcher.enclave = Enclave(payload, engine=engine, recorder=watcher, **options)
    result = watcher.enclave.run()
    return [*watcher.seen, watcher.exceptions], result


@pytest.mark.parametrize("name", RUNS)
def test_each_payload_does_the_same_as_with_wasmtime(name: str) -> None:
    (ours, result), (theirs, reference) = run(name, cycles=2), run(name, "wasmtime", cycles=2)
    assert ours == theirs
    assert (result.outcome, result.signals, result.clean) == (reference.outcome, reference.signals, True)
    assert [step.step for step in result.annihilation] == [step.name for step in Step]
    assert [phase.state for phase in result.phases] == [phase.target_state for phase in Phase]


@pytest.mark.slow
def test_payloads_take_turns() -> None:
    several = ["counter", "greedy", "beacon"]
    assert run(several, cycles=4)[0] == run(several, "wasmtime", cycles=4)[0]


@pytest.mark.slow
def test_a_guest_is_preempted_between_any_two_instructions_and_goes_on_correctly() -> None:
    often, never = run("digest", quantum_ns=150_000), run("digest", quantum_ns=1 << 30)
    assert (often[1].preemptions > 100, never[1].preemptions) == (True, 0)
    assert often[0] == never[0]


def test_the_same_run_gives_the_same_digest_in_any_slices_of_the_host() -> None:
    one, two = (Enclave("counter", engine="resident", cycles=2, quantum_ns=2_000) for _ in range(2))
    while not two.is_over:
        two.advance(two.machine.clock.now_ns + 1_777)
    assert one.run().digest == two.run().digest
    assert one.header.configuration["engine"] == "resident"


def emitting(value: int) -> bytes:
    """Return a module that emits one value."""
    emit, body = '(import "aether" "emit_signal" (func $emit (param i32)))', f"(call $emit (i32.const {value}))"
    return bytes(wat2wasm(f'(module {emit} (func (export "_start") {body}))'))


REJECTED = {
    "of a type error": (module("1a"), "type mismatch", b"\x1a"),
    "without _start": (module(sections={7: b"\0"}), "no function _start exported", b""),
}


@pytest.mark.parametrize("what", REJECTED)
def test_a_module_is_rejected_with_the_reason_and_the_byte(what: str) -> None:
    code, words, at = REJECTED[what]
    signed = sign(code, development_key())
    enclave = Enclave(signed, engine="resident")
    assert enclave.run().outcome == "PAYLOAD_REJECTED"
    assert enclave.recording is not None
    (rejected,) = enclave.recording.of_kind(events.PayloadRejected)
    assert rejected.check == "PROFILE"
    assert rejected.message == f"the module is refused: {words}, at byte {signed.rindex(at)}"


def test_a_module_without_room_for_its_tables_is_rejected() -> None:
    enclave = Enclave("counter", engine="resident", arena_bytes=2048)
    assert enclave.run().outcome == "PAYLOAD_REJECTED"
    assert enclave.recording is not None
    assert "arena exhausted" in enclave.recording.of_kind(events.PayloadRejected)[0].message


def test_a_forged_module_is_refused_before_it_is_decoded() -> None:
    forged = bytearray(payloads.read("counter"))
    forged[-1] ^= 1
    enclave = Enclave(bytes(forged), engine="resident")
    assert enclave.run().outcome == "PAYLOAD_REJECTED"
    assert enclave.recording is not None
    assert enclave.recording.of_kind(events.PayloadRejected)[0].check.startswith("BAD_")


def test_it_has_no_features_beyond_the_profile() -> None:
    with pytest.raises(ConfigurationError, match="no WebAssembly features beyond the profile"):
        Enclave("beacon", engine="resident", features=frozenset(["simd"]))


def test_a_template_runs_other_guests() -> None:
    template = Template("beacon", engine="resident")
    for value in (42, 7, 42):
        assert template.start(emitting(value)).run().signals == (value,)
    assert len(template.start().run().signals) == 1
    with pytest.raises(PayloadRejected, match="not valid WebAssembly"):
        template.start(module("1a"))


@pytest.mark.parametrize("name", ["counter", "mismatch", pytest.param("abyss", marks=pytest.mark.slow)])
def test_the_guarantees_hold(name: str) -> None:
    runs = [observe(name, engine="resident", cycles=2, quantum_ns=5_000) for _ in range(2)]
    for judge in (zero_trace, isolated):
        judge(runs).check()


@pytest.mark.slow
def test_secret_data_leaves_no_trace() -> None:
    scenario = Scenario("digest", EnclaveOptions.of(engine="resident", cycles=2))
    first, second = (observe_scenario(with_other_data(scenario, seed)) for seed in (1, 2))
    noninterference(first, second).check()


@cache
def bench(engine: str) -> tuple[Watcher, Template]:
    watcher = Watcher()
    return watcher, Template("beacon", engine=engine, recorder=watcher)


@settings(max_examples=20)
@given(wasm_guests(max_size=4))
def test_a_generated_guest_does_the_same_as_with_wasmtime(guest: WasmGuest) -> None:
    found = []
    for engine in ("resident", "wasmtime"):
        watcher, template = bench(engine)
        watcher.enclave = template.start(guest.module)
        watcher.seen, watcher.exceptions = [], []
        result = watcher.enclave.run(template.at_ns + 1_000_000_000)
        calls = [one for one in watcher.seen if one[0] in ("call", "answer", "trap")]
        found.append((result.outcome, result.signals, result.clean, watcher.exceptions, calls))
    assert found[0] == found[1]


def test_a_snapshot_file_holds_a_guest_in_the_middle_of_its_work(tmp_path: Path) -> None:
    enclave = Enclave("digest", engine="resident")
    enclave.advance(4_000_000)
    assert enclave.machine.cpu.registers.cpl == 3
    save(enclave, tmp_path / "a.snapshot")
    assert load(tmp_path / "a.snapshot").run().digest == enclave.run().digest


@pytest.mark.slow
def test_a_session_goes_back_into_the_interpreter_and_names_the_writer_of_a_value() -> None:
    session = Session("counter", engine="resident")
    session.run_to(event="signal_emitted")
    stack = session.last_write(region("values").base, 8)
    assert stack is not None
    assert stack.by.startswith("interpret+")  # it enters _start
    session.reverse_to(symbol="vmm_entry")
    assert str(session.line).startswith("ring3.S:")
