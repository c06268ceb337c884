"""The guarantees as properties: whatever runs in ring 3, and whatever comes from outside."""

from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enclave_sim.events import GuestDestroyed, WakeScheduled
from enclave_sim.guarantees import ObservedTemplate, Run, isolated, jitter_free, zero_trace
from enclave_sim.inputs import AnyInput, Tamper
from enclave_sim.strategies import (
    InstructionSequence,
    WasmGuest,
    instruction_sequences,
    interrupt_schedules,
    machine_code,
    wasm_guests,
)

GUEST_NS = 30_000
ENDS = ("COMPLETED", "SHRED_SELF", "GUEST_FAULT", "TAMPER")
some = settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
many = settings(some, max_examples=600)


@cache
def bench(*payloads: str, **options: Any) -> ObservedTemplate:
    return ObservedTemplate(payloads if len(payloads) > 1 else payloads[0], **options)


def hostile_run(code: bytes) -> Run:
    """Run a flat guest; the tamper line ends it if it computes forever."""
    template = bench("quitter", engine="native", cycles=2, quantum_ns=10_000)
    return template.run(code, inputs=[Tamper(at_ns=template.at_ns + GUEST_NS)], limit_ns=template.at_ns + 10_000_000)


def holds(run: Run) -> None:
    """Assert that it has ended, left no residue, and changed only the guest's own data."""
    assert run.result.outcome in ENDS
    assert run.result.clean
    isolated([run]).check()
    zero_trace([run]).check()


@some
@given(instruction_sequences())
def test_no_instruction_sequence_leaves_ring_3s_regions(guest: InstructionSequence) -> None:
    holds(hostile_run(guest.code))


@some
@given(machine_code(max_size=512))
def test_no_bytes_leave_ring_3s_regions(code: bytes) -> None:
    holds(hostile_run(code))


@pytest.mark.long
@many
@given(instruction_sequences(max_size=40).map(lambda guest: guest.code) | machine_code(max_size=4096))
def test_nor_do_many_more(code: bytes) -> None:
    holds(hostile_run(code))


def test_flags_that_ring_3_may_set_are_its_own() -> None:
    """PUSH, POPF: NT, AC and DF stay set through a host call, which breaks no guarantee."""
    host_calls = bytes.fromhex("b800000000 cd80 b803000000 cd80")
    for flags in (0x4002, 0x4_0002, 0x402, 0x4_4402):
        holds(hostile_run(b"\xb8" + flags.to_bytes(4, "little") + b"\x50\x9d" + host_calls))


def test_a_guest_that_never_ends_is_reported_when_time_is_up() -> None:
    template = bench("quitter", engine="native", cycles=2, quantum_ns=10_000)
    run = template.run(b"\xeb\xfe", limit_ns=template.at_ns + 100_000)
    assert run.result.outcome == "LIMIT"
    assert not run.result.halted
    isolated([run]).check()


@pytest.mark.slow
@some
@given(wasm_guests(), st.data())
def test_wakes_are_on_time_behind_any_guest(guest: WasmGuest, data: st.DataObject) -> None:
    """Its host calls, memory accesses and faults, and interrupts around the deadlines of its undisturbed run."""
    template = bench(
        "counter", cycles=3, quantum_ns=20_000, wake_ns=data.draw(st.sampled_from([1_000, 7_777, 123_456]))
    )
    calm = template.run(guest.module)
    deadlines = [event.deadline_ns for event in calm.events if isinstance(event, WakeScheduled)]
    schedule = interrupt_schedules(template.at_ns, calm.result.virtual_ns, near=deadlines, tamper=False)
    disturbed = template.run(guest.module, inputs=data.draw(schedule))
    assert jitter_free([calm, disturbed]).check().looked_at["latency ns"] in ("0", "none")
    zero_trace([calm, disturbed]).check()


@pytest.mark.slow
@some
@given(wasm_guests(traps=False))
def test_the_second_payload_cannot_tell_what_the_first_was(guest: WasmGuest) -> None:
    template = bench("counter", "beacon", cycles=2)
    first, second = template.run(), template.run(guest.module)
    if second.result.cycles < 2:
        assert second.result.outcome == "SHRED_SELF"
        return
    entries = [next(probe for probe in run.probes if "cycle 1" in probe.what) for run in (first, second)]
    assert entries[0].seen == entries[1].seen
    assert sum(isinstance(event, GuestDestroyed) for event in second.events) == 2


@pytest.mark.slow
@some
@given(wasm_guests(), st.deferred(lambda: interrupt_schedules(bench("beacon", cycles=2).at_ns, 3_000_000)))
def test_a_watched_run_is_the_same_run(guest: WasmGuest, inputs: list[AnyInput]) -> None:
    """Watching changes nothing: the digest of a template's watched run repeats."""
    template = bench("beacon", cycles=2)
    assert template.run(guest.module, inputs=inputs).result == template.run(guest.module, inputs=inputs).result
