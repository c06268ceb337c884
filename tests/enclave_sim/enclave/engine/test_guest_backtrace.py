"""An enclave's guest backtrace changes nothing, and works for every kind of guest."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from enclave_sim import Enclave
from enclave_sim.payload.wasm.disassembler import disassembly
from enclave_sim.payload.wasm.names import function_names
from enclave_sim.payload.wasm.sections import bodies
from enclave_sim.time_travel.snapshot_file import load, save
from tests.sampling import sampled

TICKS = """(memory 1) (func $tick (param i32) (result i32) (local $i i32)
    (loop $again (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get 0))))
    (call $get_status))
  (func (export "_start")
    (call $emit_signal (call $tick (i32.const 3000))) (call $emit_signal (call $tick (i32.const 5))) {end})"""


def _here(enclave: Enclave) -> list[str]:
    """Functions and instructions, innermost first."""
    backtrace = enclave.guest_backtrace()
    if backtrace is None:
        return []
    names, module = function_names(backtrace.module), backtrace.module
    code: dict[int | None, str]
    code = {one.offset: one.text for body in bodies(module) for one in disassembly(module, body)}
    return [f"{names[one.function]}: {code.get(one.offset, 'entry')}" for one in backtrace.frames]


def _stepped(payload: bytes, path: Path, *, asks: bool) -> tuple[list[list[str]], Any, list[bytes]]:
    """The answers without consecutive repeats; the result; and snapshots on the way."""
    enclave = Enclave(payload, cycles=2, quantum_ns=10_000)
    enclave.boot()
    answers: list[list[str]] = []
    snapshots, steps = [], 0
    while enclave.step():
        steps += 1
        if asks and (answer := _here(enclave)) not in answers[-1:]:
            answers.append(answer)
        if steps % 300 == 0:
            save(enclave, path)
            snapshots.append(path.read_bytes())
    return answers, enclave.run(), snapshots


@pytest.mark.slow
@pytest.mark.parametrize("end", sampled(["", "unreachable"], "unreachable"), ids=["returns", "traps"])
def test_a_run_that_is_asked_at_every_stop_is_the_run_that_is_not(
    guest: Callable[[str], bytes], tmp_path: Path, end: str
) -> None:
    payload = guest(TICKS.format(end=end))
    answers, *asked = _stepped(payload, tmp_path / "asked.snap", asks=True)
    _, *unasked = _stepped(payload, tmp_path / "unasked.snap", asks=False)
    assert asked == unasked
    assert len(asked[1]) > 3
    start = "_start: call {}".format
    once = [
        ["tick: loop", start(3)],
        ["tick: call 0", start(3)],
        [start(1)],
        ["tick: call 0", start(3)],
        [start(1)],
    ]
    met = [answer for answer in answers if answer]
    assert met == ([*once, ["_start: unreachable"]] if end else [*once, *once])


def test_a_flat_guest_and_an_enclave_before_its_guest_have_no_answer() -> None:
    assert Enclave("counter").guest_backtrace() is None
    native = Enclave("runner", engine="native")
    native.boot()
    assert native.guest_backtrace() is None


@pytest.mark.parametrize("later_ns", [30_000, 1_000_000, 2_000_000])
def test_an_enclave_from_a_file_has_the_same_answer(tmp_path: Path, later_ns: int) -> None:
    enclave = Enclave("spinner", quantum_ns=50_000)
    enclave.boot()
    enclave.run(enclave.machine.clock.now_ns + later_ns)
    save(enclave, tmp_path / "here.snap")
    other = load(tmp_path / "here.snap")
    assert _here(other) == _here(enclave) != []
    assert other.advance(5_000_000) == enclave.advance(5_000_000)
    assert _here(other) == _here(enclave)


@pytest.mark.parametrize(
    ("payload", "instruction"),
    [
        ("abyss", "entry"),
        ("divider", "i32.div_u"),
        ("mismatch", "call_indirect"),
        ("trespasser", "i32.load8_u"),
    ],
)
def test_where_a_payload_trapped_is_reported_to_the_end_of_the_run(payload: str, instruction: str) -> None:
    enclave = Enclave(payload)
    enclave.run()
    assert enclave.dormant
    assert instruction in _here(enclave)[0]
