"""Lifetime of guests and engines: many are made, dropped at any moment, and restarted."""

import gc
import resource
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from enclave_sim.enclave.engine.contract import HeapWindow, HostCall, Preempted, Returned, Trapped
from enclave_sim.enclave.engine.coroutine import Guest
from enclave_sim.enclave.engine.profile import GuestProfile
from enclave_sim.enclave.engine.wasmtime_engine import WasmtimeEngine

Make = Callable[..., Any]
ASKS = '(memory 1) (func (export "_start") (loop $l (call $emit (call $status)) (br $l)))'
SPINS = '(memory 1) (func (export "_start") (loop $l (i32.store (i32.const 0) (i32.const 1)) (br $l)))'
ENDS = '(memory 1) (func (export "_start"))'
TRAPS = '(memory 1) (func (export "_start") unreachable)'


def test_host_calls_carry_number_and_argument_and_are_answered(both: Any) -> None:
    both.start("""(func (export "_start")
      (call $emit (call $status)) (call $emit (i32.const -1)) (call $shred) (call $emit (call $status)))""")
    seen = []
    for answer in (7, 0x8000_001F, 99, 98, 1 << 40 | 5, 3):
        departure = both.engine.resume(answer, 1 << 40)
        assert isinstance(departure, HostCall)
        seen.append((departure.number, departure.argument))
    assert seen == [(0, 0), (1, 0x8000_001F), (1, 0xFFFF_FFFF), (2, 0), (0, 0), (1, 3)]
    assert isinstance(both.engine.resume(0, 1 << 40), Returned)


def test_a_result_is_ignored_where_no_call_waits(bench: Make) -> None:
    b = bench()
    b.start(SPINS)
    assert all(isinstance(b.engine.resume(123, 1000), Preempted) for _ in range(5))


def test_without_a_guest_there_is_nothing_to_resume(bench: Make) -> None:
    b = bench()
    with pytest.raises(ValueError, match="no guest to resume; instantiate one"):
        b.engine.resume(0, 1)
    b.start(SPINS)
    b.engine.destroy()
    with pytest.raises(ValueError, match="no guest to resume"):
        b.engine.resume(0, 1)


@pytest.mark.parametrize("text", [ENDS, TRAPS, '(memory 1) (data (i32.const -1) "x") (func (export "_start"))'])
def test_a_guest_that_is_over_stays_over(bench: Make, text: str) -> None:
    b = bench()
    b.start(text)
    assert isinstance(b.engine.resume(0, 1 << 40), Returned | Trapped)
    for _ in range(2):
        with pytest.raises(ValueError, match="the guest is over; instantiate a fresh one"):
            b.engine.resume(0, 1 << 40)


@pytest.mark.parametrize("payload", [-1, 1, 7])
def test_a_payload_that_was_not_admitted_changes_nothing(bench: Make, payload: int) -> None:
    b = bench()
    b.start(ASKS)
    b.engine.resume(0, 1 << 40)
    with pytest.raises(ValueError, match=f"there is no payload {payload}; 1 were admitted"):
        b.engine.instantiate(payload)
    assert isinstance(b.engine.resume(5, 1 << 40), HostCall)


@pytest.mark.parametrize("text", [ASKS, SPINS, ENDS, TRAPS])
@pytest.mark.parametrize("resumes", [0, 1, 2])
def test_a_guest_is_dropped_at_any_moment(both: Any, text: str, resumes: int) -> None:
    both.start(text)
    for _ in range(min(resumes, 1 if text in (ENDS, TRAPS) else 2)):
        both.engine.resume(0, 1000)
    both.engine.destroy()
    both.engine.destroy()
    both.start('(memory 1) (func (export "_start") (call $emit (i32.load (i32.const 0))))')
    assert [d.argument for d in both.run() if isinstance(d, HostCall)] == [0]


def test_a_new_guest_replaces_the_old_one_and_knows_nothing_of_it(bench: Make) -> None:
    b = bench()
    first = b.admit("""(memory 2) (global $g (mut i32) (i32.const 1)) (func (export "_start")
      (call $emit (global.get $g)) (global.set $g (i32.const 2)) (drop (call $status)))""")
    second = b.admit(ASKS)
    for _ in range(3):
        assert b.engine.instantiate(first) == 2 * 65536
        assert b.engine.resume(0, 1 << 40).argument == 1
        assert isinstance(b.engine.resume(0, 1 << 40), HostCall)
        assert b.engine.instantiate(second) == 65536
        assert b.engine.resume(0, 1 << 40).number == 0


def test_two_engines_do_not_meet(bench: Make) -> None:
    one, two = bench(), bench(guarded=False)
    one.start(ASKS)
    two.start(ASKS)
    for i in range(20):
        assert (one.engine.resume(i, 1 << 40).number, two.engine.resume(100 + i, 1 << 40).number) == (i % 2, i % 2)
    one.engine.destroy()
    assert isinstance(two.engine.resume(0, 1 << 40), HostCall)


@pytest.mark.parametrize("text", [ASKS, SPINS])
def test_an_engine_that_is_dropped_takes_its_suspended_guest_along(
    bench: Make, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By reference counts alone, without a cycle that would wait for the collector."""
    unwound, drop = [], Guest.drop

    def spy(guest: Guest) -> None:
        drop(guest)
        unwound.append(guest.over)

    monkeypatch.setattr(Guest, "drop", spy)
    gc.disable()
    try:
        b = bench()
        b.start(text)
        b.engine.resume(0, 1000)
        gone = [weakref.ref(b.engine), weakref.ref(b.engine._guests[0]), weakref.ref(b.engine._engine)]
        del b
        assert unwound == [True]
        assert [reference() for reference in gone] == [None, None, None]
    finally:
        gc.enable()


def test_many_guests_leave_nothing_behind(bench: Make) -> None:
    b = bench()
    payloads = [b.admit(text) for text in (ASKS, SPINS, ENDS, TRAPS)]

    def guests(count: int) -> int:
        for i in range(count):
            b.engine.instantiate(payloads[i % 4])
            b.engine.resume(0, 1000)
        b.engine.destroy()
        gc.collect()
        return len(gc.get_objects())

    guests(400)
    objects, pages = guests(8), resident()
    assert guests(1200) <= objects + 20
    assert resident() - pages < 2 << 20


@pytest.mark.long
def test_ten_thousand_guests_leave_nothing_behind(bench: Make) -> None:
    b = bench()
    payloads = [b.admit(text) for text in (ASKS, SPINS, ENDS, TRAPS)]
    before = 0
    for i in range(11_000):
        if i == 1000:
            before = resident()
        b.engine.instantiate(payloads[i % 4])
        b.engine.resume(0, 1000)
    assert resident() - before < 2 << 20


def resident() -> int:
    """Resident bytes of this process; if unknown, their maximum so far."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


SCRIPT = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("conftest", sys.argv[1])
module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
keep = []
for guarded in (True, False):
    for text in sys.argv[2:]:
        keep.append(module.Bench(guarded=guarded)); keep[-1].start(text)
        keep[-1].engine.resume(0, 1000)
keep.append(keep)
print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize("stderr", ["open", "closed"])
def test_suspended_guests_at_exit_do_no_harm_and_faults_are_traps_without_a_standard_error(stderr: str) -> None:
    out = '(memory 1) (func (export "_start") (drop (i32.load (i32.const -1))))'
    conftest = str(Path(__file__).with_name("conftest.py"))
    close = "import os, sys; os.close(2); sys.stderr = sys.__stderr__ = None\n" if stderr == "closed" else ""
    command = [sys.executable, "-c", close + SCRIPT, conftest, ASKS, SPINS, ENDS, TRAPS, out]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")


@pytest.mark.parametrize("reserve", [1, 1 << 20, (4 << 30) + (32 << 20) - 1])
def test_where_the_reserve_is_too_small_code_checks_bounds(bench: Make, reserve: int) -> None:
    b = bench(guarded=False)
    b.engine = WasmtimeEngine(HeapWindow(b.memory.address, b.size, reserve), GuestProfile(b.size))
    b.start('(memory 1) (func (export "_start") (drop (i32.load (i32.const 65533))))')
    assert isinstance(b.run()[-1], Trapped)
