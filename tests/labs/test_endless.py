"""Submissions without end: each costs little, is judged the same everywhere, and the other parts keep their points."""

import sys
import tomllib
from collections.abc import Callable
from time import process_time

import pytest

import firmware
from enclave_sim.labs import bounded
from enclave_sim.labs.bounded import PIECE_SECONDS
from enclave_sim.labs.catalogue import find_lab
from enclave_sim.labs.judging import PROCESSOR_SECONDS, Judgement, judge
from enclave_sim.labs.kernel import IMAGE
from enclave_sim.labs.lab import ANSWERS
from tests.labs.solutions import payload, sandbox
from tests.labs.solutions.kernels import built_kernel
from tests.labs.solutions.solution import Files, toml
from tests.labs.solving import solved, workplace

_AGAIN = {"spins": "ebfe", "asks": "b800000000cd80ebf7", "emits": "b801000000cd80ebf7", "reads the clock": "0f31ebfc"}
"""Machine code without end."""


@pytest.mark.slow
@pytest.mark.parametrize("code", _AGAIN.values(), ids=_AGAIN)
def test_an_attempt_without_end_is_stopped_by_virtual_time(code: str) -> None:
    lab = find_lab("breakout")
    files = solved(lab, "ada")
    answers = tomllib.loads(files[ANSWERS].decode())
    answers["write"]["code"] = answers["write"]["code"][:36] + code
    judgement = cheaply(lambda: judge(lab, "ada", {ANSWERS: toml(answers)}))
    assert judgement.points == lab.points - lab.text.part[0].points
    assert judgement == judge(lab, "ada", {ANSWERS: toml(answers)})


@pytest.mark.slow
@pytest.mark.parametrize("body", ["(call $emit_signal (i32.const 1))", "(drop (call $get_status))", ""])
def test_a_payload_without_end_is_stopped(body: str) -> None:
    lab = find_lab("payload")
    place = workplace(lab, "ada")
    status = "(local.set $status (call $get_status))"
    text = payload.source(place).replace(status, f"{status} (loop {body} (br 0))")
    judgement = cheaply(lambda: judge(lab, "ada", payload.built(place, text, payload.key(place))))
    assert [mark.points for mark in judgement.parts] == [2, 0, 0, 0]
    assert "ended as LIMIT" in judgement.parts[3].messages[0]


def test_a_payload_that_takes_all_the_time_of_the_boot_is_judged() -> None:
    """Its virtual time ends before its first cycle."""
    lab = find_lab("payload")
    place = workplace(lab, "ada")
    text = payload.source(place).rstrip().removesuffix(")") + f'(memory 1) (data (i32.const 0) "{"x" * 55_000}"))'
    judgement = cheaply(lambda: judge(lab, "ada", payload.built(place, text, payload.key(place))))
    assert [mark.points for mark in judgement.parts] == [2, 0, 0, 0]


@pytest.mark.slow
def test_a_payload_whose_compilation_does_not_end_is_refused() -> None:
    lab = find_lab("payload")
    place = workplace(lab, "ada")
    count = 400
    steps = "".join(f"(local.set {at} (i64.add (local.get {at}) (i64.const 1)))" for at in range(count))
    again = "(br_if 0 (i64.eqz (local.get 0))))" * 200
    text = f'(module (func (export "_start") (local {"i64 " * count}) {"(loop " * 200} {steps} {again}))'
    judgement = cheaply(lambda: judge(lab, "ada", payload.built(place, text, payload.key(place))))
    assert judgement.points == 0
    assert "Compiling the module takes more than" in judgement.parts[0].messages[0]


@pytest.mark.slow
@pytest.mark.parametrize("body", ["(call $emit (i32.const 1))", ""])
def test_an_exploit_without_end_is_stopped(body: str) -> None:
    lab = find_lab("sandbox")
    place = workplace(lab, "ada")
    before = "    (call $f)\n    (call $emit (i32.wrap"
    text = sandbox.text(place).replace(before, f"    (loop {body} (br 0))\n{before}")
    judgement = cheaply(lambda: judge(lab, "ada", {"exploit.wasm": sandbox.module(text)}))
    assert [mark.points for mark in judgement.parts] == [2, 3, 0, 0]


KEPT = {"gate": [0, 0, 0], "jitter": [0, 0, 0, 0], "longmode": [4, 0, 0, 0], "sandbox": [2, 3, 3, 0]}
"""Points of each part that remain if the kernel never ends."""


@pytest.mark.slow
@pytest.mark.parametrize("name", KEPT)
def test_a_kernel_of_slow_instructions_costs_only_the_parts_that_need_it(name: str) -> None:
    source = (firmware.built_in().path.parent / "src" / "kernel.c").read_text()
    loop = 'for (;;)\n        __asm__ volatile("rdtsc" ::: "rax", "rdx");\n    prot_entry();'
    image = built_kernel({"src/kernel.c": source.replace("prot_entry();", loop, 1).encode()})
    lab = find_lab(name)
    files: Files = {**solved(lab, "ada"), IMAGE: image}
    begun = process_time()
    judgement = judge(lab, "ada", files, seconds=4)
    assert process_time() - begun < PIECE_SECONDS
    assert [mark.points for mark in judgement.parts] == KEPT[name]
    assert "seems to have no end" in judgement.parts[-1].messages[0]


@pytest.mark.slow
def test_only_what_is_too_slow_loses_its_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt may reach the limit of processor time before that of virtual time."""
    lab = find_lab("breakout")
    files = solved(lab, "ada")
    answers = tomllib.loads(files[ANSWERS].decode())
    answers["write"]["code"] = answers["write"]["code"][:36] + "0f31ebfc"
    only_processor_time(monkeypatch)
    judgement = judge(lab, "ada", {ANSWERS: toml(answers)})
    assert [mark.points for mark in judgement.parts] == [0, 2, 2, 2]
    assert "write: It takes more than 0.5 s of processor time" in judgement.parts[0].messages[0]


@pytest.mark.slow
def test_the_whole_judgement_has_a_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work without end in every part takes no longer than that, and the last part says why it is not judged."""
    lab = find_lab("breakout")
    answers = tomllib.loads(solved(lab, "ada")[ANSWERS].decode())
    for part in answers.values():
        part["code"] = part["code"][:36] + "0f31ebfc"
    only_processor_time(monkeypatch)
    begun = process_time()
    judgement = judge(lab, "ada", {ANSWERS: toml(answers)}, seconds=0.75)
    assert process_time() - begun < 3
    assert judgement.points == 0
    assert "No processor time is left" in judgement.parts[3].messages[0]
    assert PROCESSOR_SECONDS >= 3 * bounded.PIECE_SECONDS


def only_processor_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the limits of virtual time and of events from the attempts of lab `breakout`; each has half a second."""
    module = sys.modules["enclave_sim.labs.breakout.judge"]
    for name in ("_GUEST_NS", "_LIMIT_NS"):
        monkeypatch.setattr(module, name, 1 << 40)
    monkeypatch.setattr(module, "_SECONDS", 0.5)
    monkeypatch.setattr(bounded, "_EVENTS", 1 << 40)


def cheaply(judging: Callable[[], Judgement]) -> Judgement:
    """Judge without coming near the limit of processor time, which other hosts may meet earlier."""
    begun = process_time()
    judgement = judging()
    assert process_time() - begun < PROCESSOR_SECONDS / 2
    return judgement
