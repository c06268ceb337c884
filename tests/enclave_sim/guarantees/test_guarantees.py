"""Each guarantee holds if nothing is wrong, and otherwise says what is wrong."""

import re
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from wasmtime import wat2wasm

import firmware
from enclave_sim import ConfigurationError
from enclave_sim.enclave.engine.gate_coprocessor import GateCoprocessor
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.events import Woken
from enclave_sim.guarantees import (
    GuaranteeBroken,
    Report,
    Run,
    Scenario,
    admitted,
    deterministic,
    isolated,
    jitter_free,
    loads,
    noninterference,
    observe,
    observe_scenario,
    with_other_data,
    with_other_wake,
    zero_trace,
)
from enclave_sim.guarantees.observation import Observer
from enclave_sim.inputs import ExternalInterrupt, MemoryFault
from enclave_sim.memory_map import region
from enclave_sim.payload.keys import development_key
from enclave_sim.payload.signature import sign
from machine.devices.engines.scrub_engine import ScrubEngine
from payloads import flat_names, names, read
from tests.sampling import sampled

BOOTED = 1_396_500
"""A time in the first cycle of these payloads, or in the sleep after it."""


def built(text: str) -> bytes:
    return sign(bytes(wat2wasm(text)), development_key())


def guest(body: str, data: str = "", local: str = "") -> bytes:
    return built(
        f"""(module (import "aether" "emit_signal" (func $emit (param i32)))
        (memory 1) {data} (func (export "_start") {local} {body}))"""
    )


def finding(report: Report) -> str:
    """The first finding with its evidence."""
    assert not report.holds
    with pytest.raises(GuaranteeBroken, match="BROKEN"):
        report.check()
    return "\n".join(report.findings[0].lines())


@pytest.mark.parametrize(
    "payload", sampled([*names(), *flat_names()], "abyss", "beacon", "counter", "greedy", "shredder", "forger", "stray")
)
def test_every_payload_keeps_every_guarantee(payload: str) -> None:
    options: dict[str, Any] = {"cycles": 2, "engine": "native" if payload in flat_names() else "wasmtime"}
    runs = [observe(payload, **options) for _ in range(2)]
    for report in (deterministic(runs), zero_trace(runs), isolated(runs), jitter_free(runs), admitted(runs)):
        assert report.check().looked_at["runs"] == 2
    scenario = Scenario(payload, EnclaveOptions.of(**options))
    pair = [observe_scenario(with_other_wake(scenario, seed)) for seed in (1, 2)]
    report = noninterference(*pair)
    assert report.findings == ()
    assert report.holds == any(isinstance(event, Woken) for event in pair[0].events)


# Determinism


def changed(run: Run, index: int, **fields: Any) -> Run:
    """A run with one event replaced, like another recording of the same scenario."""
    events = list(run.events)
    events[index] = msgspec.structs.replace(events[index], **fields)
    return replace(run, events=tuple(events), result=msgspec.structs.replace(run.result, digest="0" * 64))


def test_the_first_event_that_differs_is_shown_among_its_neighbours() -> None:
    run = observe("beacon")
    text = finding(deterministic([run, changed(run, 30, at_ns=1)]))
    assert text.startswith("run 2 diverges at event 30 (at ")
    lines = text.splitlines()
    assert [int(line.partition('"seq":')[2].split(",")[0]) for line in lines[1:]] == [27, 28, 29, 30, 30]
    assert lines[4].lstrip()[0] == "-"
    assert lines[5].lstrip()[0] == "+"
    assert '"at_ns":1,' in lines[5]


def test_a_run_that_is_shorter_is_shown_to_end() -> None:
    run = observe("beacon")
    short = replace(run, events=run.events[:40], result=msgspec.structs.replace(run.result, digest="0" * 64))
    assert "+ the end" in finding(deterministic([run, short]))


def test_another_final_state_is_shown_by_register_page_and_device() -> None:
    run = observe("beacon")
    state = replace(
        run.final,
        registers={**run.final.registers, "R10": 7},
        pages={**run.final.pages, 0x30_0000: b"\0\5" + bytes(4094)},
        devices={**run.final.devices, "PostCode.code": "1"},
    )
    text = finding(deterministic([run, replace(run, final=state)]))
    assert "register R10: 0x0 and 0x7" in text
    assert "RAM, unmapped: 1 bytes of page 0x300000 differ, the first at 0x300001" in text
    assert "device PostCode.code" in text


@pytest.mark.parametrize("payloads", [[], ["beacon"], ["beacon", "counter"]])
def test_determinism_is_asked_of_repeated_runs_only(payloads: list[str]) -> None:
    with pytest.raises(ConfigurationError, match=r"two runs|another scenario"):
        deterministic([observe(payload) for payload in payloads])


# Zero trace


def test_residue_is_shown_with_its_bytes() -> None:
    run = observe("beacon", inputs=[MemoryFault(at_ns=BOOTED, address=0x30_0010, bits=0x41)])
    text = finding(zero_trace([run]))
    assert "residue in unmapped: 1 bytes at 0x300010" in text
    assert "0x00300010  41 " in text
    assert re.search(r"last written at \d+ ns( \+ \d+)? by an input", text)


def lying(*names: str) -> Any:
    """A scrub engine that skips regions and reports success."""
    genuine = ScrubEngine._run
    spared = [region(name) for name in names]

    def run(self: ScrubEngine, base: int, length: int, *, fill: bool) -> None:
        if not any(one.base <= base < one.end for one in spared):
            genuine(self, base, length, fill=fill)
            return
        self._status = 1
        if fill and self.on_fill is not None:
            self.on_fill(base, length, True)

    return patch.object(ScrubEngine, "_run", run)


def test_residue_is_shown_with_who_wrote_it() -> None:
    with lying("kernel_stack"):
        report = zero_trace([observe("beacon")])
        text = "\n".join(line for found in report.findings for line in found.lines())
    assert "residue in kernel_stack" in text
    assert re.search(r"last written at \d+ ns by [a-z_]+(\+0x[0-9a-f]+)? \([a-z_]+\.[cS]:\d+\)", text)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "payload", "what"),
    [
        ("call_stack", "beacon", "call_stack is not scrubbed after a host call"),
        ("irq_stack", "spinner", "irq_stack is not scrubbed after an interrupt"),
        ("arena", "digest", "arena is not zero at the end of cycle 0"),
        ("heap", "digest", "heap is not zero at the end of cycle 0"),
    ],
)
def test_what_is_not_scrubbed_is_found_at_the_switch(name: str, payload: str, what: str) -> None:
    with lying(name):
        report = zero_trace([observe(payload)])
    text = finding(report)
    assert text.startswith(what)
    assert region(name).base <= int(text.splitlines()[1].split()[0], 16) < region(name).end


# Non-interference


def test_declared_output_may_depend_on_the_secret() -> None:
    scenario = Scenario(guest("(call $emit (i32.load (i32.const 0)))", '(data (i32.const 0) "\\01\\02\\03\\04")'))
    first, second = (observe_scenario(with_other_data(scenario, seed)) for seed in (1, 2))
    assert first.result.signals != second.result.signals
    assert noninterference(first, second).holds


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "what"),
    [
        (
            """(local.set 0 (i32.and (i32.load (i32.const 0)) (i32.const 1023)))
            (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (call $emit (i32.const 1))""",
            "a timing channel: the same event at another time",
        ),
        (
            """(if (i32.and (i32.load (i32.const 0)) (i32.const 1)) (then (call $emit (i32.const 1))))
            (call $emit (i32.const 2)) (call $emit (i32.const 2))""",
            "another event",
        ),
    ],
)
def test_time_and_behaviour_must_not_depend_on_it(body: str, what: str) -> None:
    module = guest(body, '(data (i32.const 0) "\\01\\02\\03\\04")', "(local i32)")
    runs = [observe_scenario(with_other_data(Scenario(module), seed)) for seed in range(1, 12)]
    found = [report for run in runs[1:] if not (report := noninterference(runs[0], run)).holds]
    assert found
    assert any(finding(report).startswith(what) for report in found)


def test_the_next_guest_must_not_see_the_first() -> None:
    """Two payloads take turns; the first one's secret stays in the heap, which the scrub engine skips."""
    secret = guest("(call $emit (i32.const 1))", '(data (i32.const 16) "\\01\\02\\03\\04")')
    scenario = Scenario([secret, read("counter")], EnclaveOptions.of(cycles=2))
    pair = [observe_scenario(with_other_data(scenario, seed)) for seed in (1, 2)]
    assert noninterference(*pair).holds
    with lying("heap"):
        pair = [observe_scenario(with_other_data(scenario, seed)) for seed in (1, 2)]
    text = "\n".join(line for found in noninterference(*pair).findings for line in found.lines())
    assert "the guest of cycle 1 at its entry can see a trace: heap, page 0xff" in text
    assert "in DORMANT, RAM, heap: 4 bytes of page" in text


def test_there_must_be_a_secret_to_vary() -> None:
    with pytest.raises(ConfigurationError, match="no payload has a data segment"):
        with_other_data(Scenario("counter"), 1)


# Isolation


def test_a_byte_that_ring_3_changes_is_shown_before_and_after() -> None:
    genuine, address = GateCoprocessor.execute, region("data").base + 0x4F00
    observer, scenario = Observer(), Scenario("beacon")
    enclave = scenario.enclave(observer)
    observer.attach(enclave)

    def escaping(self: GateCoprocessor, operand: int, budget_ns: int) -> Any:
        enclave.machine.ram.write(address, b"\xee")
        return genuine(self, operand, budget_ns)

    with patch.object(GateCoprocessor, "execute", escaping):
        report = isolated([observer.run(enclave, scenario)])
    text = finding(report)
    assert text.startswith("ring 3 changed data")
    assert f"now    {address:#010x}  ee" in text


def test_a_gate_that_becomes_reachable_is_found() -> None:
    address = firmware.built_in().symbols["idt"] + 16 * 14 + 5
    text = finding(
        isolated([observe("counter", cycles=2, inputs=[MemoryFault(at_ns=BOOTED, address=address, bits=0x60)])])
    )
    assert text.startswith("the gate of vector 14 has DPL 3, not 0")


def test_a_page_that_becomes_reachable_is_found() -> None:
    """The page table entry of the arena's first page, with a flipped U/S bit."""
    layout = firmware.layout()
    address = layout["PT_KERNEL"] + 8 * (layout["CALL_STACK_BASE"] >> 12)
    text = finding(
        isolated([observe("counter", cycles=2, inputs=[MemoryFault(at_ns=BOOTED, address=address, bits=4)])])
    )
    assert "ring 3 reaches call_stack" in text


# Jitter


@pytest.mark.slow
def test_wakes_have_no_spread_under_random_loads() -> None:
    runs = [observe_scenario(load) for load in loads(Scenario("digest"), 5, 7)]
    report = jitter_free(runs).check()
    assert report.looked_at["latency ns"] == "0"
    assert report.looked_at["wakes"] > 8
    assert any(line.endswith(f" {report.looked_at['wakes']}") for line in report.picture)


def test_a_deadline_within_the_kernels_worst_case_is_an_overrun() -> None:
    slow = observe("counter", cycles=3, wake_ns=1000, ns_per_instruction=200)
    report = jitter_free([slow])
    assert "overrun: the deadline came while interrupts were off" in finding(report)


def test_a_spread_is_a_finding_of_its_own() -> None:
    runs = [observe("counter", cycles=3, wake_ns=1000, ns_per_instruction=n) for n in (1, 200)]
    assert jitter_free(runs).findings[-1].what.startswith("latency varies from ")


def test_a_timer_that_drifts_is_found() -> None:
    run = observe("counter", cycles=3)
    index = next(i for i, event in enumerate(run.events) if type(event).__name__ == "WakeScheduled")
    later = run.events[index].deadline_ns + 500  # type: ignore[attr-defined]
    text = finding(jitter_free([changed(run, index, deadline_ns=later)]))
    assert "has its deadline" in text


def test_an_external_interrupt_is_not_a_late_timer() -> None:
    run = observe("counter", cycles=3, inputs=[ExternalInterrupt(at_ns=BOOTED)])
    assert jitter_free([run]).check().looked_at["wakes"] == 1


def test_loads_are_at_least_one() -> None:
    with pytest.raises(ConfigurationError, match="at least 1"):
        list(loads(Scenario("beacon"), 0, 1))


# Admission


def test_a_forged_module_that_is_let_in_is_found() -> None:
    module = bytearray(read("beacon"))
    at = module.index(b"\x65", 200)  # the ML-DSA-65 record
    module[at + 100] ^= 1
    assert observe(bytes(module)).result.outcome == "PAYLOAD_REJECTED"
    with patch("enclave_sim.payload.signature._check_ml_dsa_65", lambda *_: None):
        run = observe(bytes(module))
    assert run.result.outcome == "COMPLETED"
    assert "payload 0 was accepted, but its ML-DSA-65 signature" in finding(admitted([run]))
