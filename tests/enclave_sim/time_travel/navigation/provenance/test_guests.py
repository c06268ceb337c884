"""Values of WebAssembly guests come from the instructions, data segments and answers that were labelled by hand."""

import ctypes
import re
from typing import NamedTuple

import pytest
from hypothesis import given, settings

from enclave_sim.enclave.engine.contract import HeapWindow, HostCall, Preempted
from enclave_sim.enclave.engine.profile import GuestProfile
from enclave_sim.enclave.engine.wasmtime_engine import WasmtimeEngine
from enclave_sim.errors import ConfigurationError
from enclave_sim.inputs import ExternalInterrupt
from enclave_sim.memory_map import region
from enclave_sim.strategies import WasmGuest, wasm_guests
from enclave_sim.time_travel import Session
from enclave_sim.time_travel.navigation.provenance.answers import End, Value
from enclave_sim.time_travel.navigation.provenance.guest.program import UnsupportedError, program_of
from enclave_sim.time_travel.navigation.provenance.guest.replay import Replay, TooLongError
from machine.bus.host_memory import HostMemory
from machine.execution.deferred_signals import SignalsHeld
from tests.enclave_sim.conftest import signed
from tests.enclave_sim.time_travel.navigation.provenance.chains import chain
from tests.enclave_sim.time_travel.navigation.provenance.guest_cases import CASES, Case

GATE = re.compile(r"^edi: the guest, at the gate\[(.*)\] \| rdi\[4:8\]: the guest, at the gate\[0\]$")
VALUE = re.compile(r"(?<=[@?])value \d+ made by the guest of event \d+")
DATA = b"\x2a\x01\x02\x03"
HEAP = 4 << 20


def argument(session: Session, depth: int = 30) -> Value:
    """The argument of the last host call: RDI after the stay in the guest."""
    return session.where_from("rdi", depth=depth)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_chain_is_the_labelled_one(case: Case) -> None:
    session = Session(signed(case.body), cycles=1, features=frozenset(["bulk-memory"]))
    session.run_to(event="host_called")
    found = GATE.match(VALUE.sub("", chain(argument(session))))
    assert found is not None
    module = session.enclave.guest_module(0)
    assert module is not None
    at = module.find(DATA)
    assert found[1] == case.expected.replace("{data}", f"{at:#x}").replace("{data1}", f"{at + 1:#x}")


def test_a_signal_leads_back_to_the_kernel_s_answer() -> None:
    session = Session(signed('(func (export "_start") (call $emit_signal (call $get_status)))'), cycles=1)
    session.run_to(event="signal_emitted")
    value = session.where_from("esi", depth=9)
    assert [origin.by for origin in value.origins] == ["host_call_entry+0x5 (interrupts.S:65)"]
    text = chain(value)
    assert "the guest, at the gate[the answer to get_status[mov rax, rbx[" in text
    assert "mov eax, dword ptr [rip + " in text


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("(call $emit_signal (i32.const 7))", "0"),
        ("(call $emit_signal (i32.const 7)) unreachable", "the address at which the gate repeats the trap"),
    ],
)
def test_the_end_of_a_guest_has_no_argument_of_a_host_call(body: str, expected: str) -> None:
    session = Session(signed(f'(func (export "_start") {body})'), cycles=1)
    session.run_to(event="host_returned")
    session.back()
    session.step()
    assert chain(session.where_from("edi")) == f"the guest, at the gate[{expected}]"


def test_a_value_of_a_guest_can_be_asked_for_again() -> None:
    session = Session(signed('(func (export "_start") (call $emit_signal (i32.const 7)))'), cycles=1)
    session.run_to(event="host_called")
    source = argument(session, depth=1).origins[0].sources[0].value
    assert source is not None
    assert source.origins == ()
    assert chain(session.where_from(source)) == "i32.const 7[0x7]"
    session.reverse_to(at_ns=1_000_000)
    session.take(ExternalInterrupt(at_ns=0))
    with pytest.raises(ConfigurationError, match="there is no value 0 made by the guest"):
        session.where_from(source)


@pytest.mark.slow
def test_a_guest_that_computes_for_long_is_a_limit() -> None:
    body = """(func (export "_start") (local i32) (local.set 0 (i32.const 1000000))
      (loop $again (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
      (call $emit_signal (local.get 0)))"""
    session = Session(signed(body), cycles=1)
    session.run_to(event="host_called")
    value = argument(session)
    assert [one.kind for one in value.endings] == [End.LIMIT]


@pytest.mark.slow
def test_a_preempted_guest_s_store_is_one_of_its_past() -> None:
    body = """(memory 1) (func (export "_start") (local i32) (local.set 0 (i32.const 20000))
      (loop $again (i32.store (i32.const 8) (local.get 0)) (i32.store (i32.const 12) (i32.const 5))
        (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
      (i32.store (i32.const 12) (i32.const 5)))"""
    session = Session(signed(body), cycles=1, quantum_ns=20_000)
    session.run_to(event="guest_destroyed")
    session.reverse_to(event="interrupt_delivered", when=lambda event: event.vector == 0x22)
    base, here = region("heap").end - 65536, session.now
    for address in (8, 12):
        value = session.where_from(base + address, 4)
        assert value.limit is not None
        (origin,) = value.origins
        assert origin.position is not None
        assert origin.position <= here
        assert origin.ending is not None
        assert origin.ending.kind is End.NOT_MODELLED
    session.run_to(event="guest_destroyed")
    session.back()
    assert chain(session.where_from(base + 12, 4)).startswith("i32.store align=4[i32.const 5[0x5], @value")


def test_a_trapped_guest_s_store_is_found_before_its_destruction() -> None:
    body = """(memory 1) (func (export "_start")
      (i32.store (i32.const 8) (i32.const 0)) (drop (i32.div_u (i32.const 1) (i32.load (i32.const 8)))))"""
    session = Session(signed(body), cycles=1)
    session.run_to(event="guest_trapped")
    value = session.where_from(region("heap").end - 65536 + 8, 4)
    assert chain(value).startswith("i32.store align=4[i32.const 0[0x0], @value")
    assert value.limit is None


class Run(NamedTuple):
    """What a guest does in wasmtime: the arguments of its host calls, the answers, and its memory at the end."""

    arguments: list[int]
    answers: list[int]
    memory: bytes


def executed(module: bytes) -> Run:
    memory = HostMemory(HEAP, 0)
    engine = WasmtimeEngine(HeapWindow(memory.address, HEAP, 0), GuestProfile(HEAP, frozenset(["bulk-memory"])))
    size = engine.instantiate(engine.admit(module, None))
    arguments: list[int] = []
    answers: list[int] = []
    result = 0
    with SignalsHeld():
        while isinstance(departure := engine.resume(result, 1 << 40), HostCall | Preempted):
            if isinstance(departure, HostCall):
                arguments.append(departure.argument)
                result = len(answers) * 0x01234567 & 0xFFFF_FFFF
                answers.append(result)
    content = ctypes.string_at(memory.address + HEAP - size, size)
    engine.destroy()
    return Run(arguments, answers, content)


@settings(max_examples=60)
@given(wasm_guests())
def test_the_repeated_run_is_that_of_wasmtime(guest: WasmGuest) -> None:
    """Its host calls and its memory at the end are equal, so each instruction has computed the same."""
    run = executed(guest.module)
    try:
        replay = Replay(program_of(guest.module), len(run.memory))
        replay.run(run.answers, None)
    except (UnsupportedError, TooLongError):  # such as a function that calls itself until the stack is exhausted
        return
    assert [0 if item is None else replay.items[item].value for item in replay.arguments] == run.arguments
    assert bytes(replay.memory.content) == run.memory
