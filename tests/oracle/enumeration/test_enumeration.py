"""The enumeration is complete, its programs are well formed, and differences are reported."""

import dataclasses
import json
import os
import signal
from collections.abc import Iterator
from random import Random

import pytest

from machine.architecture.cpuid import cpuid
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import Mode, Program, Result
from tests.oracle.enumeration import isolated, survey
from tests.oracle.enumeration.comparison import Verdict, judge
from tests.oracle.enumeration.coverage import Coverage
from tests.oracle.enumeration.encoding import Map
from tests.oracle.enumeration.forms import PREFIXES, Form, forms
from tests.oracle.enumeration.isolated import Isolated
from tests.oracle.enumeration.judges import BY_THE_MANUAL, NOT_WITNESSED, Row, code_for_host
from tests.oracle.enumeration.programs import TAIL, Case, case
from tests.oracle.enumeration.tolerances import TOLERANCES, Tolerance
from tests.oracle.enumeration.undefined import AF, CF, OF, undefined
from tests.oracle.enumeration.witnesses import REGIONS, State, of_host, start
from tests.oracle.host_processor.witness import Witness, features

_END = "vector 3"
FEATURES = features()
ADD = Form("64", b"", b"", 0x01, 0, True)
AND = Form("64", b"", b"", 0x21, 0, True)
SHIFT = Form("64", b"", b"", 0xC1, 4, True)


@pytest.fixture(scope="module")
def witness() -> Iterator[Witness]:
    with Witness(REGIONS) as running:
        yield running


def on_host(witness: Witness, one: Case) -> State:
    (end,) = witness.run([start(one.program, code_for_host(one))])
    return of_host(end, one.program)


def test_every_opcode_has_every_prefix_and_class_of_operand() -> None:
    for mode in Mode:
        found = list(forms(mode))
        assert len({form.name for form in found}) == len(found)
        of_two_bytes = [form for form in found if (form.escape, form.opcode) == (Map.TWO_BYTE.value, 0x58)]
        prefixes = {form.prefixes for form in of_two_bytes}
        assert prefixes >= set(PREFIXES)
        assert len(of_two_bytes) == 16 * len(prefixes)
        opcodes = {(form.escape, form.opcode) for form in found if not form.vex}
        assert len([opcode for escape, opcode in opcodes if escape == b"\x0f\x38"]) == 256
        assert len([opcode for escape, opcode in opcodes if escape == b"\x0f"]) == 254


def test_a_case_is_the_same_each_time() -> None:
    chosen = Random(1).sample(list(forms(Mode.COMPATIBILITY)), 200)
    assert [case(form, 3) for form in chosen] == [case(form, 3) for form in chosen]
    assert survey.sample(1, 1)[:50] == survey.sample(1, 1)[:50]


def test_programs_are_as_long_as_the_processor_takes_them_to_be(witness: Witness) -> None:
    branches = {*range(0x70, 0x80), *range(0xE0, 0xE4), 0xC2, 0xC3, 0xCC, 0xE8, 0xE9, 0xEB}
    legacy = [form for mode in (Mode.LONG, Mode.COMPATIBILITY) for form in forms(mode) if not form.vex]
    chosen = Random(2).sample(legacy, 6000)
    cases = [case(form, 0) for form in chosen]
    ended = 0
    for one, end in zip(cases, witness.run([start(one.program, one.program.code) for one in cases]), strict=True):
        form, at = one.form, end.registers["RIP"] - layout.CODE - 1
        branch = (not form.escape and form.opcode in branches) or (form.escape == b"\x0f" and form.opcode >> 4 == 8)
        extract = form.escape == b"\x0f" and form.opcode == 0x78  # AMD's EXTRQ and INSERTQ, with two immediates
        if end.vector == 3 and 0 < at < one.length + len(TAIL) and not (branch or extract):
            assert at == one.length, form.name
            ended += 1
    assert ended > 1200


@pytest.mark.parametrize("name", ["RAX", "RSP", "RIP", "RFLAGS", "CS", "error_code", "FSW", "ST3", "MXCSR", "XMM5"])
def test_any_other_value_is_a_difference(witness: Witness, name: str) -> None:
    one = case(ADD, 0)
    host = on_host(witness, one)
    assert (host.end, judge(one, host, host, FEATURES).difference) == (_END, {})
    wrong = dataclasses.replace(host, values={**host.values, name: host.values[name] ^ 1})
    assert judge(one, host, wrong, FEATURES).difference == {name: (host.values[name], host.values[name] ^ 1)}


def test_another_end_and_other_memory_are_differences(witness: Witness) -> None:
    one = case(Form("64", b"", b"", 0x01, 0, False), 0)
    host = on_host(witness, one)
    assert host.memory
    assert "end" in judge(one, host, dataclasses.replace(host, end="limit"), FEATURES).difference
    assert "memory" in judge(one, host, dataclasses.replace(host, memory={}), FEATURES).difference


def test_only_undefined_flags_are_not_compared(witness: Witness) -> None:
    one = case(AND, 0)
    host = on_host(witness, one)
    for flag, passes in ((AF, True), (CF, False), (OF, False)):
        ours = dataclasses.replace(host, values={**host.values, "RFLAGS": host.values["RFLAGS"] ^ flag})
        assert (judge(one, host, ours, FEATURES).difference == {}) is passes


@pytest.mark.parametrize(("count", "flags"), [(0, 0), (1, AF), (31, AF | OF), (32, 0)])
def test_flags_of_a_shift_depend_on_its_count(count: int, flags: int) -> None:
    one = case(SHIFT, 0)
    code = one.program.code[: one.length - 1] + bytes([count]) + TAIL
    assert undefined(dataclasses.replace(one, program=dataclasses.replace(one.program, code=code))) == (flags, False)


def test_what_the_manual_decides_is_not_offered() -> None:
    checked = 0
    for row in BY_THE_MANUAL:
        for leaf, register, bit in row.bits:
            assert not cpuid(leaf)["EAX EBX ECX EDX".split().index(register)] >> bit & 1, row.name
            checked += 1
    assert checked > 15


def test_an_instruction_that_is_not_offered_must_be_refused(witness: Witness) -> None:
    one = case(Form("64", b"", b"\x0f\x38", 0xC8, 0, True), 0)  # SHA1NEXTE
    host = on_host(witness, one)
    verdict = judge(one, host, host, FEATURES)
    assert verdict.witness == "manual"
    assert bool(verdict.difference) is (host.end != "vector 6")
    assert judge(one, host, State("vector 6", {}, {}), FEATURES).difference == {}


@pytest.mark.parametrize(
    ("form", "feature"),
    [
        (Form("64", b"\xf3", b"\x0f", 0xB8, 1, True), "popcnt"),
        (Form("compatibility", b"\x66", b"\x0f\x3a", 0x61, 1, True), "sse4_2"),
        (Form("64", b"", b"\xc4\xe2\x78", 0xF3, 1, True), "bmi1"),
        (Form("64", b"\x48", b"\x0f", 0xC7, 1, False), "cx16"),
    ],
)
def test_a_host_that_lacks_a_feature_is_not_a_witness_of_it(witness: Witness, form: Form, feature: str) -> None:
    one = case(form, 0)
    host = on_host(witness, one)
    assert judge(one, host, State("vector 6", {}, {}), FEATURES - {feature}).witness == ""
    assert judge(one, host, host, FEATURES | {feature}).witness == "host"


class _Dying(Bench):
    def run(self, program: Program, *, floating_point: bool = True) -> Result:
        if program.code.startswith(b"\x21"):
            os.kill(os.getpid(), signal.SIGKILL)
        if program.code.startswith(b"\xc1"):
            raise ValueError("no")
        return super().run(program, floating_point=floating_point)


def test_a_program_that_kills_the_emulator_is_reported_and_the_next_one_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "Bench", _Dying)
    with Isolated() as machine:
        states = list(machine.run([case(form, 0) for form in (ADD, AND, ADD, SHIFT, ADD, AND)]))
    killed = "the emulator dies of signal 9"
    assert [state.end for state in states] == [_END, killed, _END, "the emulator raises ValueError('no')", _END, killed]


def test_a_report_can_be_stored_and_continued(witness: Witness) -> None:
    one = case(ADD, 0)
    host = on_host(witness, one)
    wrong = Verdict("host", "", {"RAX": (1, 2)})
    coverage = Coverage()
    coverage.add((one, host, host, judge(one, host, host, FEATURES)), first=True)
    coverage.add((one, host, host, wrong), first=False)
    kept = Coverage.from_json(json.loads(json.dumps(coverage.as_json())))
    assert kept == coverage
    assert kept.forms == {"64 host": 1}
    assert "1 cases differ" in kept.report()


@pytest.mark.parametrize("row", [*BY_THE_MANUAL, *NOT_WITNESSED, *TOLERANCES], ids=lambda row: row.name)
def test_each_excuse_names_its_place_in_the_manual(row: Row | Tolerance) -> None:
    assert "volume" in row.reason or row.reason.startswith("CPUID")
