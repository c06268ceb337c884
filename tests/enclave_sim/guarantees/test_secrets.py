"""Secrets are where a guest can see them; a leak of each kind is found, and what no guest can see is no evidence."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from wasmtime import wat2wasm

import firmware
from enclave_sim import Enclave
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.events import CycleEnded, GuestDestroyed, HostReturned
from enclave_sim.guarantees import NoEvidence, Report, Scenario, noninterference, observe_scenario
from enclave_sim.guarantees.observation import Observer
from enclave_sim.guarantees.variations import SECRETS
from enclave_sim.inputs import AfterEvent, AnyInput, GuestReplaced, MemoryFault, SensorValue, UplinkReady
from enclave_sim.memory_map import region
from enclave_sim.payload.keys import development_key
from enclave_sim.payload.signature import sign
from enclave_sim.specification import Status
from machine.events import Event

GUEST = """(module (import "aether" "get_status" (func $status (result i32)))
    (import "aether" "emit_signal" (func $emit (param i32))) (memory 1) (data (i32.const 16) "secret")
    (func (export "_start") (call $emit (i32.load (i32.const 16))) (call $emit (call $status))))"""
"""Has data, memory, and asks for its status."""
UNMAPPED, PAGE_BYTES = 0x30_0000, 1 << 16


def module(text: str = GUEST) -> bytes:
    return sign(bytes(wat2wasm(text)), development_key())


def scenario(engine: str = "wasmtime", cycles: int = 2, text: str = GUEST) -> Scenario:
    return Scenario(module(text) if engine != "native" else "surveyor", EnclaveOptions.of(cycles=cycles, engine=engine))


def judged(kind: str, given: Scenario) -> Report:
    return noninterference(*(observe_scenario(SECRETS[kind](given, seed)) for seed in (1, 2)))


@pytest.mark.parametrize(
    ("kind", "engine"),
    [
        *((kind, "wasmtime") for kind in SECRETS),
        *((kind, "native") for kind in ("uplink", "wake", "memory")),
        *((kind, "resident") for kind in ("data", "wake", "memory")),
    ],
)
def test_a_guest_sees_each_kind_of_secret_and_nobody_else_does(kind: str, engine: str) -> None:
    places = {"data": "data and code", "uplink": "status word", "wake": "status word", "memory": "memory"}
    report = judged(kind, scenario(engine)).check()
    assert report.looked_at["seen in"].startswith(places[kind])


# Planted leaks: a host that leaves a secret somewhere


class LeakyHost:
    """Records for an observer, and calls `leak` with the enclave and each event first."""

    def __init__(self, leak: "Leak") -> None:
        self.observer, self._leak = Observer(), leak
        self.enclave: Enclave | None = None

    def record(self, event: Event) -> None:
        if self.enclave is not None:
            self._leak(self.enclave, event)
        self.observer.record(event)


Leak = Callable[[Enclave, Event], None]


def leaking(kind: str, given: Scenario, leak: Leak) -> Report:
    runs = []
    for seed in (1, 2):
        host, varied = LeakyHost(leak), SECRETS[kind](given, seed)
        enclave = host.enclave = varied.enclave(host)
        host.observer.attach(enclave)
        runs.append(host.observer.run(enclave, varied))
    return noninterference(*runs)


def leave(enclave: Enclave, secret: bytes) -> None:
    """Leave the secret where no region is: nothing scrubs it."""
    before = enclave.machine.ram.read(UNMAPPED, len(secret))
    enclave.machine.ram.write(UNMAPPED, bytes(a | b for a, b in zip(before, secret, strict=True)))


def status_stays(enclave: Enclave, event: Event) -> None:
    if isinstance(event, CycleEnded):
        leave(enclave, enclave.block.status.to_bytes(4, "little"))


def answer_stays(enclave: Enclave, event: Event) -> None:
    if isinstance(event, HostReturned):
        leave(enclave, event.result.to_bytes(4, "little"))


def answer_takes_time(bit: Status) -> Leak:
    def spend(enclave: Enclave, event: Event) -> None:
        if isinstance(event, HostReturned) and event.result & bit:
            enclave.machine.clock.spend(1)

    return spend


def memory_stays(enclave: Enclave, event: Event) -> None:
    if isinstance(event, GuestDestroyed):
        leave(enclave, enclave.machine.ram.read(region("heap").end - 32, 16))


def data_stays(enclave: Enclave, event: Event) -> None:
    if isinstance(event, GuestDestroyed):
        leave(enclave, enclave.machine.ram.read(region("heap").end - PAGE_BYTES + 16, 6))


@pytest.mark.parametrize(
    ("kind", "leak", "what"),
    [
        ("data", data_stays, "the sleeping enclave can see a trace: unmapped, page 0x300000"),
        ("memory", memory_stays, "the sleeping enclave can see a trace: unmapped, page 0x300000"),
        ("uplink", status_stays, "the sleeping enclave can see a trace: unmapped, page 0x300000"),
        ("wake", status_stays, "the sleeping enclave can see a trace: unmapped, page 0x300000"),
        ("uplink", answer_stays, "in DORMANT, RAM, unmapped: 1 bytes of page 0x300000"),
        ("wake", answer_stays, "in DORMANT, RAM, unmapped: 1 bytes of page 0x300000"),
        ("uplink", answer_takes_time(Status.SIGNAL_READY), "a timing channel: the same event at another time"),
        ("wake", answer_takes_time(Status.EXTERNAL_WAKE), "a timing channel: the same event at another time"),
    ],
)
def test_a_planted_leak_of_each_kind_is_found(kind: str, leak: Leak, what: str) -> None:
    report = leaking(kind, scenario(cycles=3), leak)
    assert report.verdict == "BROKEN"
    assert what in "\n".join(line for one in report.findings for line in one.lines())


@pytest.mark.parametrize("kind", ["uplink", "wake"])
def test_a_guest_whose_time_depends_on_its_status_is_found(kind: str) -> None:
    bit = {"uplink": 8, "wake": 6}[kind]
    text = GUEST.replace(
        "(call $emit (call $status))",
        f"""(local i32)
        (local.set 0 (i32.and (call $status) (i32.const {1 << bit})))
        (if (local.get 0) (then (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))
        (call $emit (i32.const 1))""",
    ).replace("(call $emit (i32.load (i32.const 16))) (local", "(local")
    found, *_ = judged(kind, scenario(text=text)).findings
    assert found.what == "a timing channel: the same event at another time"


def test_another_bit_of_the_status_word_may_not_differ() -> None:
    """Only the bits that the secret sets are its own."""

    def other_answer(enclave: Enclave, event: Event) -> None:
        if isinstance(event, CycleEnded) and enclave.block.status & Status.SIGNAL_READY:
            address = firmware.built_in().symbols["status"]
            enclave.machine.ram.write(address + 2, b"\1")

    report = leaking("uplink", scenario(cycles=2), other_answer)
    assert any("the kernel's status word" in found.what for found in report.findings)


# No evidence


MUTE = """(module (func (export "_start")))"""


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("wake", scenario(cycles=1)),
        ("memory", scenario(text=MUTE)),
        ("memory", scenario("resident", text=MUTE)),
        ("uplink", Scenario("mismatch", EnclaveOptions.of(production=True))),
    ],
)
def test_what_no_guest_can_see_is_no_evidence(kind: str, given: Scenario) -> None:
    report = judged(kind, given)
    assert (report.holds, report.verdict, report.looked_at["seen in"]) == (False, "NO EVIDENCE", "nothing")
    with pytest.raises(NoEvidence, match="the secret is nowhere where a guest could see it"):
        report.check()


def pair(inputs: Callable[[int], list[AnyInput]]) -> Report:
    return noninterference(*(observe_scenario(replace(scenario(), inputs=tuple(inputs(n)))) for n in (1, 2)))


@pytest.mark.parametrize(
    "inputs",
    [
        lambda n: [SensorValue(at_ns=5, sensor=0, value=n)],
        lambda n: [SensorValue(at_ns=5, sensor=0, value=1)] * n,
        lambda n: [MemoryFault(at_ns=0, after=AfterEvent("host_called"), address=region("arena").end - 5, bits=n)],
    ],
    ids=["sensors", "a sensor input of its own", "memory that is no guest's"],
)
def test_sensors_and_memory_of_nobody_are_no_evidence(inputs: Callable[[int], list[AnyInput]]) -> None:
    assert pair(inputs).verdict == "NO EVIDENCE"


def test_the_input_that_only_one_run_has_does_not_break_the_comparison() -> None:
    assert pair(lambda n: [UplinkReady(at_ns=9, ready=False)] * (n - 1)).check().looked_at["seen in"].startswith("sta")


def test_another_signature_is_not_seen_and_another_guest_is() -> None:
    options = EnclaveOptions.of(cycles=1)
    other = sign(bytes(wat2wasm(GUEST)) + b"\0\2\1x", development_key())
    runs = [observe_scenario(Scenario(each, options)) for each in (module(), other)]
    assert noninterference(*runs).looked_at["seen in"] == "nothing"
    entered = AfterEvent("phase_entered", {"phase": "EXEC_LOOP"})
    code = [bytes(wat2wasm(GUEST.replace("secret", text))) for text in ("first!", "second")]
    replaced = [GuestReplaced(at_ns=0, after=entered, payload=0, code=one) for one in code]
    runs = [observe_scenario(Scenario("beacon", options, (one,))) for one in replaced]
    assert noninterference(*runs).check().looked_at["seen in"].startswith("data and code")


def test_a_payload_that_never_ran_is_not_seen() -> None:
    texts = [GUEST.replace("secret", text) for text in ("first!", "second")]
    options = EnclaveOptions.of(cycles=1)
    runs = [observe_scenario(Scenario(["beacon", module(text)], options)) for text in texts]
    assert noninterference(*runs).verdict == "NO EVIDENCE"
