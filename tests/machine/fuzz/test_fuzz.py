"""The fuzzer finds known faults, reports a death with its cause, and finds nothing in a fixed sample."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from machine.bus.ram import PAGE_SIZE
from machine.errors import EmulatorFault
from tests.machine.fuzz.behaviour import opcode
from tests.machine.fuzz.campaign import case_of
from tests.machine.fuzz.case import Case, vary
from tests.machine.fuzz.oracle import Oracle
from tests.machine.fuzz.shrink import shrink
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import Change, End, Mode, Program, Result

pytestmark = pytest.mark.slow

SAMPLE, SAMPLE_SEED = 1000, 20


def alone(code: str) -> str:
    """Run Python in a separate process, which may start children. Returns its output."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_a_fixed_sample_breaks_no_rule(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.machine.fuzz", str(SAMPLE), "--seed", str(SAMPLE_SEED)]
    run = subprocess.run(
        [*command, "--corpus", str(tmp_path), "--patience", "300"], check=False, capture_output=True, text=True
    )
    kinds = [json.loads(path.read_text())["kind"] for path in (tmp_path / "findings").glob("*.json")]
    assert kinds == [], run.stdout
    assert run.returncode == 0, run.stderr
    assert f"{SAMPLE} programs" in run.stdout


# Deaths

_LANE = """
import os, time
from tests.machine.fuzz import lane
def work(desk, send):
    desk.begin("first")
    send(1)
    desk.begin("second")
    {act}
    send(2)
print(list(lane.run(work, 1.0)))
"""


@pytest.mark.parametrize(
    ("act", "seen"),
    [
        ("pass", "[1, 2]"),
        ("os.kill(os.getpid(), 11)", "[1, Death(cause='signal 11', number=2, text='second')]"),
        ("os._exit(3)", "[1, Death(cause='exit 3', number=2, text='second')]"),
        ("raise KeyError(1)", "[1, Death(cause='exit 1', number=2, text='second')]"),
        ("time.sleep(1e6)", "[1, Death(cause='no progress', number=2, text='second')]"),
    ],
)
def test_what_a_child_was_at_outlives_it(act: str, seen: str) -> None:
    assert alone(_LANE.format(act=act)).strip() == seen


_DEADLY = """
import os, sys
from tests.machine.fuzz import campaign, __main__
from tests.machine.programs.bench import Bench
run = Bench.run
def deadly(self, program, **options):
    if b"\\x9d" in program.code and program.ring == 3:
        {act}
    return run(self, program, **options)
Bench.run = deadly
sys.argv[1:] = {arguments}
sys.exit(print(__main__.main()))
"""


@pytest.mark.slow
def test_a_death_is_reported_shrunk_and_can_be_had_again(tmp_path: Path) -> None:
    """POPF in ring 3 kills the process: the kept program has only that piece, with the default state."""
    arguments = ["80", "--seed", "3", "--corpus", str(tmp_path), "--patience", "300"]
    told = alone(_DEADLY.format(act="os.abort()", arguments=arguments))
    entries = {path: json.loads(path.read_text()) for path in sorted((tmp_path / "findings").iterdir())}
    deaths = {path: Case.read(entry["case"]) for path, entry in entries.items() if "signal 6" in entry["kind"]}
    assert deaths
    for path, case in deaths.items():
        assert case.pieces == (b"\x9d",)
        assert case.state == Program(b"", case.state.mode, limit=case.state.limit)
        assert str(path) in told
    again = alone(_DEADLY.format(act="os.abort()", arguments=["--reproduce", str(path)]))
    assert "the host process lives (signal 6)" in again
    assert json.loads((tmp_path / "progress-3.json").read_text()) == {"next": 80}


def test_a_hang_is_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "finding.json"
    path.write_text(json.dumps({"case": Case((b"\x9d",), Program(b"")).text()}))
    told = alone(_DEADLY.format(act="while True: pass", arguments=["--reproduce", str(path), "--patience", "0.5"]))
    assert "the host process lives (no progress)" in told


# Rules

IDLE = Case((b"\x90",), Program(b""))


def broken(monkeypatch: pytest.MonkeyPatch, change: Callable[[Result], Result], case: Case = IDLE) -> list[str]:
    """The rules broken by a machine whose results are changed whenever a program has code."""
    run = Bench.run

    def changed(self: Bench, program: Program, **options: Any) -> Result:
        result = run(self, program, **options)
        return change(result) if program.code else result

    monkeypatch.setattr(Bench, "run", changed)
    return [finding.rule for finding in Oracle().judge(case)[1]]


def with_register(name: str, value: int) -> Callable[[Result], Result]:
    return lambda result: replace(result, registers=result.registers | {name: value})


@pytest.mark.parametrize(
    "name", ["CR0", "CR3", "CR4", "EFER", "GDTR", "IDTR_LIMIT", "LDTR", "TR", "KERNEL_GS_BASE", "DR7"]
)
def test_system_registers(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert "system registers are ring 0's" in broken(monkeypatch, with_register(name, 0x77))


@pytest.mark.parametrize("page", ["kernel", "page tables", "supervisor", "torn, supervisor", "user read-only"])
def test_memory_of_ring_0(monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    change = Change(page, 8, b"\1")
    assert broken(monkeypatch, lambda result: replace(result, memory=(change,))) == ["memory is ring 0's"]


def test_memory_of_ring_3_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken(monkeypatch, lambda result: replace(result, memory=(Change("data", 8, b"\1"),))) == []


@pytest.mark.parametrize(
    "change",
    [
        with_register("CS", layout.KERNEL_CODE_64),
        lambda result: replace(result, end=End.HALTED),
        lambda result: replace(result, end=End.SHUTDOWN),
        lambda result: replace(result, end=End.LIMIT, registers=result.registers | {"CPL": 0}),
    ],
)
def test_ring_0_reached_without_a_gate(monkeypatch: pytest.MonkeyPatch, change: Callable[[Result], Result]) -> None:
    assert broken(monkeypatch, change) == ["ring 0 is reached through gates only"]


def test_an_interrupt_that_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Bench.run

    def noticed(self: Bench, program: Program, **options: Any) -> Result:
        result = run(self, program, **options)
        return with_register("GS_BASE", 5)(result) if program.interrupt_at is not None else result

    monkeypatch.setattr(Bench, "run", noticed)
    assert [finding.rule for finding in Oracle().judge(IDLE)[1]] == ["an interrupt is not noticed"]


def test_an_interrupt_in_a_comparison_that_faults() -> None:
    """The interrupt ends one execution of REPNE SCASD, so the fault takes the flags back to those of a later one."""
    end = layout.DATA + 2 * PAGE_SIZE
    pieces = (b"\xb8\3\0\0\0", b"\xb9\0\1\0\0", b"\xbf" + (end - 64).to_bytes(4, "little"), b"\xf2\xaf")
    case = Case(pieces, replace(IDLE.program, limit=100))
    result, found = Oracle().judge(case)
    assert result is not None
    assert result.vector == 14
    assert found == ()


def test_hooks_that_disagree_and_errors_of_the_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Bench.run

    def other(self: Bench, program: Program, **options: Any) -> Result:
        result = run(self, program, **options)
        return result if self.machine.cpu.engine.native else replace(result, retired=99)

    monkeypatch.setattr(Bench, "run", other)
    assert [finding.rule for finding in Oracle().judge(IDLE)[1]] == ["native and portable hook agree"]

    def failing(self: Bench, program: Program, **options: Any) -> Result:
        raise EmulatorFault("as a test wants it")

    monkeypatch.setattr(Bench, "run", failing)
    result, found = Oracle().judge(IDLE)
    assert result is None
    assert [finding.rule for finding in found] == ["the emulator raises no EmulatorFault"]


def test_a_program_that_is_right_breaks_nothing() -> None:
    for mode in Mode:
        for ring in (0, 3):
            assert Oracle().judge(Case((b"\x90", b"\x50", b"\x0f\x0b"), Program(b"", mode, ring)))[1] == ()


# Cases


def test_a_case_is_what_was_written() -> None:
    for index in range(200):
        case = case_of(1, index, [])
        assert Case.read(case.text()) == case
        assert case_of(1, index, []) == case
        varied = vary(Random(index), case, case_of(2, index, []))
        assert Case.read(varied.text()) == varied
        assert len(varied.program.code) <= 4000


def test_shrinking_leaves_what_matters() -> None:
    case = next(case for case in (case_of(1, index, []) for index in range(100)) if len(case.pieces) > 5)
    pieces = (*case.pieces[:3], b"\x48\x0f\x0b\x90", *case.pieces[3:])
    registers = (*case.state.registers[:2], 7, *case.state.registers[3:])
    case = Case(pieces, replace(case.state, registers=registers))
    small = shrink(case, lambda tried: any(b"\x0f\x0b" in p for p in tried.pieces) and tried.state.registers[2] == 7)
    assert small.pieces == (b"\x0f\x0b",)
    plain = Program(b"", case.state.mode, case.state.ring, limit=case.state.limit)
    assert small.state == replace(plain, registers=(0, 0, 7, *plain.registers[3:]))
    assert shrink(case, lambda _: False) == case


@pytest.mark.slow
def test_a_campaign_goes_on_where_it_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.machine.fuzz", "40", "--corpus", str(tmp_path)]
    for wanted in (40, 80):
        subprocess.run(command, check=False, capture_output=True)
        assert json.loads((tmp_path / "progress-0.json").read_text()) == {"next": wanted}
    names = [name for line in (tmp_path / "corpus.jsonl").read_text().splitlines() for name in json.loads(line)["new"]]
    assert len(names) > 40


@pytest.mark.parametrize(
    ("code", "long", "text"),
    [
        ("90", True, "90"),
        ("66480f3a63c100", True, "0f3a63"),
        ("40", False, "40"),
        ("41ff18", True, "ff/3m"),
        ("0f01f8", True, "0f01/7r"),
        ("f3", True, ""),
    ],
)
def test_opcodes(code: str, long: bool, text: str) -> None:
    assert opcode(bytes.fromhex(code), long=long) == text


@pytest.mark.parametrize("limit", range(10, 14))
def test_the_limit_may_come_in_a_handler(limit: int) -> None:
    """INT 81H and JMP back to it: every third instruction is the handler's."""
    case = Case((b"\xcd\x81", b"\xeb\xfc"), replace(IDLE.program, limit=limit))
    assert Oracle().judge(case)[1] == ()
