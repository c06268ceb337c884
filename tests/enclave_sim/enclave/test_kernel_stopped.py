"""A kernel stopped by a memory fault is a separate outcome; otherwise a stopped kernel is a defect."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import firmware
from enclave_sim import Enclave, Template
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.enclave.devices import enclave_block, mailbox
from enclave_sim.errors import KernelDied
from enclave_sim.events import KernelStopped
from enclave_sim.inputs import MemoryFault, MemoryWrite, RegisterWrite
from enclave_sim.recording.reader import read_events
from enclave_sim.time_travel.replay import replay
from machine.errors import EmulatorFault, UnicornStopped
from machine.machine import Machine, Outcome
from tests.enclave_sim.cli.command import command
from tests.sampling import sampled


@cache
def booted() -> Template:
    return Template("counter", cycles=3)


PRESENT = 0x80
HANG_NS = 20_000_000


def fault(address: int, bits: int) -> MemoryFault:
    return MemoryFault(at_ns=booted().at_ns, address=address, bits=bits)


def root() -> int:
    """The physical address of the top page table."""
    return booted().start().machine.cpu.registers.cr[3]


def damage_of(name: str) -> MemoryFault:
    if name == "page table":
        return fault(root(), 1)
    return fault(booted().start().machine.cpu.registers.gdtr.base + 8 + 5, PRESENT)


@pytest.mark.parametrize("portable", sampled([False, True], False), ids=["native", "portable"])
@pytest.mark.parametrize("damage", ["page table", "code segment"])
def test_damage_that_stops_the_kernel_is_an_outcome(damage: str, portable: bool) -> None:
    enclave = Enclave("counter", cycles=3, inputs=[damage_of(damage)], portable=portable)
    result = enclave.run(HANG_NS)
    assert (result.outcome, result.halted, result.clean) == ("KERNEL_STOPPED", False, False)
    assert result.detail.startswith("triple fault, POST code 0x4")
    assert enclave.ended == "triple fault"
    assert enclave.recording is not None
    (stopped,) = enclave.recording.of_kind(KernelStopped)
    assert enclave.recording.events[-1] == stopped
    assert stopped.reason == "triple fault"
    assert enclave.run() == result == booted().start(inputs=[damage_of(damage)]).run(HANG_NS)


def test_the_command_line_has_an_exit_code_for_it(tmp_path: Path) -> None:
    script, recording = tmp_path / "fault.toml", tmp_path / "run.jsonl"
    script.write_text(f'[[input]]\nkind = "memory_fault"\nat_ns = {booted().at_ns}\naddress = {root()}\nbits = 1\n')
    ended = command("run", "counter", "--cycles", "3", "--inputs", str(script), "--record", str(recording), "--json")
    assert (ended.code, ended.error) == (ExitCode.KERNEL_STOPPED, "")
    told = json.loads(ended.output)
    assert told["outcome"] == "KERNEL_STOPPED"
    assert isinstance(list(read_events(recording))[-1], KernelStopped)
    assert replay(recording).equal
    shown = command("run", "counter", "--cycles", "3", "--inputs", str(script))
    assert shown.code == ExitCode.KERNEL_STOPPED
    assert "the kernel stopped before annihilation" in " ".join(shown.output.split())
    table = command("export", str(recording), "--to", "html", "--output", str(tmp_path / "run.html"))
    assert table.code == ExitCode.OK
    assert "KERNEL_STOPPED" in (tmp_path / "run.html").read_text()


def stop(outcome: Outcome) -> Callable[..., Outcome]:
    return lambda *_arguments, **_options: outcome


@pytest.mark.parametrize(
    ("outcome", "reason"), [(Outcome.SHUTDOWN, "triple fault"), (Outcome.HALTED, "halted for good")]
)
def test_without_a_memory_fault_it_is_a_defect(monkeypatch: pytest.MonkeyPatch, outcome: Outcome, reason: str) -> None:
    harmless, calm = booted().start(inputs=[fault(0x30_0000, 1)]), Enclave("counter")
    monkeypatch.setattr(Machine, "run", stop(outcome))
    monkeypatch.setattr(Machine, "shut_down", property(lambda _machine: outcome is Outcome.SHUTDOWN))
    assert harmless.run().detail.startswith(f"{reason}, POST code")
    for act in (calm.run, calm.advance):
        with pytest.raises(KernelDied, match="stopped before annihilation: POST code"):
            act()


def test_what_unicorn_cannot_go_on_from_is_one_only_after_a_memory_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any, **_options: Any) -> Outcome:
        raise UnicornStopped("Unicorn error 99 at rip 0x1")

    damaged, calm = booted().start(inputs=[fault(0x30_0000, 1)]), Enclave("counter")
    monkeypatch.setattr(Machine, "run", refuse)
    result = damaged.run()
    assert (result.outcome, result.detail[:11]) == ("KERNEL_STOPPED", "Unicorn err")
    with pytest.raises(EmulatorFault, match="Unicorn error 99"):
        calm.run()


REPORTS = [
    (enclave_block.PHASE, 0x77 << 8, "Phase 0x77"),
    (enclave_block.PHASE, 1 << 8 | 1, "the end of PROT_ENTRY, which it is not in"),
    (enclave_block.CAUSE, 0x99, "Cause 0x99"),
    (enclave_block.STEP, 0x99, "Step 0x99"),
    (enclave_block.CALL, 0x99, "HostFunction 0x99"),
    (enclave_block.WAKE, 1, "a timer that never fired"),
]


@pytest.mark.parametrize(("register", "value", "words"), REPORTS)
def test_a_report_without_sense_says_so(register: int, value: int, words: str) -> None:
    enclave = booted().start()
    with pytest.raises(KernelDied, match=words):
        enclave.block.write(register, 4, value)


def test_a_wake_without_a_timer_says_so() -> None:
    enclave = booted().start()
    enclave.machine.chipset.local_apic.reset()
    with pytest.raises(KernelDied, match="its timer is not armed"):
        enclave.block.write(enclave_block.WAKE, 4, 0)


BEYOND = 0xFFFF_F000
COMMANDS = {
    "verify": (1, BEYOND, 16),
    "compile": (2, 1, 0),
    "trust": (3, BEYOND, 16),
    "instantiate": (4, 1, 0),
    "unknown": (99, 0, 0),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_mailbox_refuses_what_cannot_be(name: str) -> None:
    enclave = booted().start()
    number, first, second = COMMANDS[name]
    device = next(device for device in enclave.machine.bus.devices if isinstance(device, mailbox.Mailbox))
    events = len(enclave.recording.events) if enclave.recording else 0
    device.write(mailbox.ARGUMENT_0, 4, first)
    device.write(mailbox.ARGUMENT_1, 4, second)
    device.write(mailbox.COMMAND, 4, number)
    assert (device.read(mailbox.RESULT, 4), device.read(mailbox.VALUE, 4)) == (mailbox.REFUSED, 0)
    assert enclave.recording is not None
    assert len(enclave.recording.events) == events


def test_a_guest_that_is_not_there_cannot_be_entered() -> None:
    enclave = Enclave("counter")
    gate = enclave.machine.coprocessor
    assert gate is not None
    with pytest.raises(KernelDied, match="a guest that cannot continue: there is no guest"):
        gate.execute(0, 1000)


def test_a_range_outside_every_region_can_be_scrubbed() -> None:
    enclave = booted().start()
    scrub = enclave.machine.scrub_engine
    for offset, value in ((0x100, 0x30_0000), (0x104, 64), (0x108, 1)):
        scrub.write(offset, 4, value)
    assert enclave.recording is not None
    assert enclave.recording.events[-1].region == "unmapped"  # type: ignore[attr-defined]


@pytest.mark.parametrize("limits", [[], [HANG_NS], [HANG_NS, 2 * HANG_NS]])
def test_a_kernel_that_sleeps_for_good_has_stopped_when_it_went_to_sleep(limits: list[int]) -> None:
    enclave = Enclave("counter", cycles=3)
    enclave.boot()
    asleep = firmware.built_in().symbols["exec_loop"]
    for one in (
        MemoryWrite(at_ns=0, address=asleep, data="fbf4ebfd"),  # sti; 1: hlt; jmp 1b
        RegisterWrite(at_ns=0, register="rip", value=asleep),
    ):
        enclave.take(one)
    enclave.machine.local_apic.reset()
    results = [enclave.run(limit_ns) for limit_ns in [*limits, None]]
    assert {one.outcome for one in results} == {"KERNEL_STOPPED"}
    assert enclave.recording is not None
    (stopped,) = enclave.recording.of_kind(KernelStopped)
    assert (stopped.reason, stopped.at_ns < HANG_NS) == ("halted for good", True)
