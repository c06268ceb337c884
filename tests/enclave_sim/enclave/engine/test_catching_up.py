"""Catching up of a guest after a state was loaded: it can be cancelled, and arrives where it was or raises an error."""

import ctypes
from typing import Any

import pytest

from enclave_sim.cancellation import Cancelled
from enclave_sim.enclave.engine.contract import HostCall, Preempted
from enclave_sim.enclave.host_limit import HostLimit
from enclave_sim.errors import HostLimitReached
from machine import host_limit
from machine.errors import EmulatorFault

SPINS = """(memory 1) (func (export "_start") (loop $l
  (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1))) (br $l)))"""
ASKS = '(memory 1) (func (export "_start") (loop $l (drop (call $status)) (br $l)))'


def spun(b: Any, fuel: int = 100_000) -> Any:
    """The state of a guest that has computed, and the memory it left."""
    b.start(SPINS)
    b.engine.resume(0, fuel)
    return b.engine.save_state(), b.heap()


def test_cancelled_it_leaves_all_as_it_was(both: Any) -> None:
    state, heap = spun(both)
    expected = both.engine.resume(0, 1000)
    after = both.heap()
    ctypes.memmove(both.memory.address, heap, len(heap))
    both.engine.load_state(state)
    both.checkpoints.cancels = lambda: True
    for call in (both.engine.catch_up, lambda: both.engine.resume(0, 1000)):
        with pytest.raises(Cancelled):
            call()
        assert both.heap() == heap
        assert both.engine.save_state()["progress"] == state["progress"]
    both.checkpoints.cancels = lambda: False
    both.engine.catch_up()
    assert both.heap() == heap
    assert both.engine.resume(0, 1000) == expected
    assert both.heap() == after


def test_a_limit_of_host_time_ends_it_likewise(both: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    state, heap = spun(both)
    both.engine.load_state(state)
    monkeypatch.setattr(host_limit, "monotonic", iter(range(100)).__next__)  # advances one second with each call
    with HostLimit(1), pytest.raises(HostLimitReached):
        both.engine.catch_up()
    assert both.heap() == heap
    both.engine.catch_up()
    assert both.engine.save_state()["progress"] == state["progress"]


def test_it_polls_again_and_again(bench: Any) -> None:
    b = bench()
    state, _ = spun(b, 50_000_000)
    b.engine.load_state(state)
    asked: list[None] = []

    def polled() -> bool:
        asked.append(None)
        return False

    b.checkpoints.cancels = polled
    b.engine.catch_up()
    assert len(asked) > 3
    b.engine.catch_up()  # nothing is owed any more
    before = len(asked)
    b.engine.resume(0, 1)
    assert len(asked) == before


def test_a_guest_whose_memory_was_changed_is_loud_and_does_not_go_on_for_ever(both: Any) -> None:
    state, _ = spun(both)
    both.engine.load_state(state)
    ctypes.memset(both.memory.address + both.size - 100, 1, 1)
    with pytest.raises(EmulatorFault, match="to other memory there"):
        both.engine.catch_up()


def test_a_guest_that_ends_or_calls_before_it_is_there_is_loud(bench: Any) -> None:
    b = bench()
    state, _ = spun(b)
    progress = state["progress"]
    other = bench()
    for text in (ASKS, '(memory 1) (func (export "_start"))'):
        number = other.admit(text)
        fields = list(progress.plain(state["payloads"]))
        other.engine.load_progress((number, *fields[1:]))
        with pytest.raises(EmulatorFault, match="came to"):
            other.engine.catch_up()


def test_a_guest_is_repeated_by_its_own_module_though_its_payload_was_replaced(both: Any) -> None:
    both.start(ASKS)
    departures = [both.engine.resume(answer, 1 << 40) for answer in range(4)]
    both.engine.replace(0, _module(SPINS))
    state = both.engine.save_state()
    plain = state["progress"].plain(state["payloads"])
    both.engine.load_state(state)
    assert isinstance(both.engine.resume(4, 1 << 40), HostCall)
    both.engine.load_progress(plain)
    assert isinstance(both.engine.resume(4, 1 << 40), HostCall)
    both.engine.instantiate(0)
    assert isinstance(both.engine.resume(0, 1000), Preempted)
    assert len({type(one) for one in departures}) == 1


def _module(text: str) -> bytes:
    from wasmtime import wat2wasm

    from tests.enclave_sim.enclave.engine.conftest import IMPORTS

    return bytes(wat2wasm(f"(module {IMPORTS} {text})"))
