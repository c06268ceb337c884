"""Faults of registers, instructions, interrupts and clocks as inputs."""

from pathlib import Path

import pytest

import firmware
from enclave_sim import Enclave, Template
from enclave_sim.errors import ConfigurationError
from enclave_sim.events import Woken
from enclave_sim.guarantees import isolated, jitter_free, observe, zero_trace
from enclave_sim.inputs import HARDWARE_FAULTS, AfterEvent, ExternalInterrupt, HardwareFault
from enclave_sim.time_travel.replay import replay
from machine.devices.engines.hash_engine import HashEngine
from machine.devices.engines.scrub_engine import ScrubEngine

OTHERS = ("xmm0_low", "xmm15_high", "mxcsr", "scrub0_base", "scrub15_length", "hash_base", "hash_length")
TRIPLE_FAULT, NMI = "KERNEL_STOPPED", 2


@pytest.fixture(scope="module")
def template() -> Template:
    return Template("beacon")


def fault(part: str, effect: str, value: int, at_ns: int = 0) -> HardwareFault:
    return HardwareFault(at_ns=at_ns, part=part, effect=effect, value=value)


@pytest.mark.parametrize(
    ("part", "bits", "outcome"),
    [
        ("rsp", 1 << 40, "KERNEL_FAULT"),
        ("cr0", 1 << 3, TRIPLE_FAULT),  # TS: the scrub of floating-point registers is #NM, again and again
        ("cr3", 1 << 20, TRIPLE_FAULT),
        ("cr4", 1 << 20, "COMPLETED"),  # SMEP: nothing needs it
        ("efer", 1 << 11, TRIPLE_FAULT),  # NXE: bit 63 of page-table entries is reserved then
    ],
)
def test_an_inverted_bit_of_a_register(template: Template, part: str, bits: int, outcome: str) -> None:
    assert template.start(inputs=[fault(part, "flip", bits, template.at_ns + 10)]).run().outcome == outcome


@pytest.mark.parametrize(
    ("part", "bits", "outcome"),
    [
        ("idtr_base", 1 << 40, TRIPLE_FAULT),
        ("idtr_limit", 1 << 11, "GUEST_FAULT"),  # no gate for INT 80h: #GP
        ("tr_base", 1 << 16, TRIPLE_FAULT),
        ("gdtr_limit", 1 << 5, "KERNEL_FAULT"),
    ],
)
def test_an_inverted_bit_of_a_table_register_while_a_guest_runs(
    template: Template, part: str, bits: int, outcome: str
) -> None:
    entered = AfterEvent("ring_transition", {"to_ring": 3})
    inverted = HardwareFault(at_ns=0, after=entered, part=part, effect="flip", value=bits)
    assert template.start(inputs=[inverted]).run().outcome == outcome


@pytest.mark.parametrize("part", ["gdtr_base", "gdtr_limit", "idtr_base", "idtr_limit", "tr_base", "tr_limit"])
def test_a_table_register_that_changed_during_the_boot_is_right_when_a_guest_runs(part: str) -> None:
    run = observe("beacon", inputs=[fault(part, "flip", 1 << 9, 200_000)], cycles=2)
    assert (run.result.outcome, run.result.clean) == ("COMPLETED", True)
    for report in (isolated([run]), jitter_free([run])):
        report.check()


def test_it_is_inverted_and_nothing_else(template: Template) -> None:
    for part in ("rax", "r15", "rip", "rflags", "cr0", "cr2", "cr3", "cr4", "gs_base", "tsc", *OTHERS):
        allowed = HARDWARE_FAULTS[part]["flip"]
        assert isinstance(allowed, int)
        bit = allowed & -allowed
        before, after = [_registers(template, [fault(part, "flip", bit)] * n) for n in (0, 1)]
        changed = {name for name, value in before.items() if after[name] != value}
        assert changed == {part}
        assert before[part] ^ after[part] == bit


def _registers(template: Template, faults: list[HardwareFault]) -> dict[str, int]:
    enclave = template.start()
    for one in faults:
        enclave.take(one)
    cpu = enclave.machine.cpu
    names = [f"r{n}" for n in range(8, 16)] + "rax rbx rcx rdx rsi rdi rbp rsp rip".split()
    found = {name: int(getattr(cpu.registers, name)) for name in names}
    found |= {name: cpu.read_register(name.upper()) for name in ("cr0", "cr2", "cr3", "cr4", "rflags")}
    for number in range(16):
        vector = cpu.context.read_vector(number)
        found |= {f"xmm{number}_low": vector & (1 << 64) - 1, f"xmm{number}_high": vector >> 64}
    for device in enclave.machine.bus.devices:
        if isinstance(device, ScrubEngine):
            for at in range(32):
                found[f"scrub{at // 2}_{('base', 'length')[at % 2]}"] = device.read(
                    0x100 + 16 * (at // 2) + 4 * (at % 2), 4
                )
        elif isinstance(device, HashEngine):
            found |= {"hash_base": device.read(8, 4), "hash_length": device.read(12, 4)}
    found |= {"mxcsr": cpu.context.mxcsr}
    return found | {"gs_base": cpu.registers.gs.base, "tsc": cpu.time_stamp_counter.value}


def test_a_channel_whose_range_changed_leaves_traces() -> None:
    entered = AfterEvent("ring_transition", {"to_ring": 3})
    moved = [
        HardwareFault(at_ns=0, after=entered, part=f"scrub{channel}_base", effect="flip", value=1 << 20)
        for channel in range(16)
    ]
    run = observe("counter", inputs=moved, cycles=2)
    assert run.result.clean  # annihilation sets each range anew
    assert zero_trace([run]).findings


@pytest.mark.parametrize("ns", [1, 1000])
def test_a_timer_that_stood_still_wakes_the_processor_later(ns: int) -> None:
    later = HardwareFault(at_ns=0, after=AfterEvent("halted"), part="timer", effect="stall", value=ns)
    runs = [observe("counter", inputs=inputs, cycles=2) for inputs in ([], [later])]
    first, second = ([event.at_ns for event in run.events if isinstance(event, Woken)] for run in runs)
    assert [at + ns for at in first] == second
    assert jitter_free(runs).findings


def test_a_skipped_instruction_takes_its_time_and_changes_nothing(template: Template) -> None:
    enclave = template.start()
    assert enclave.step()
    machine = enclave.machine
    general, rip, now = machine.cpu.registers.general_registers, machine.cpu.rip, machine.clock.now_ns
    instruction = machine.cpu.code.instruction_at(rip)
    assert instruction is not None
    enclave.take(fault("instruction", "skip", 1, now))
    assert machine.cpu.registers.general_registers == general
    assert (machine.cpu.rip, machine.clock.now_ns) == (rip + instruction.length, now + 1)


def test_a_repeated_instruction_is_executed_again(template: Template) -> None:
    enclave = template.start()
    for _ in range(3):
        enclave.step()
    before = enclave.machine.cpu.rip
    enclave.step()
    enclave.take(fault("instruction", "repeat", 1))
    assert enclave.machine.cpu.rip == before


def test_a_spurious_nmi_annihilates(template: Template) -> None:
    assert template.start(inputs=[fault("interrupt", "raise", NMI, template.at_ns)]).run().outcome == "TAMPER"


def test_a_lost_interrupt_never_comes() -> None:
    at_ns = 10  # long before the kernel takes interrupts
    vector = firmware.layout()["VECTOR_EXTERNAL"]
    enclave = Enclave("beacon", inputs=[ExternalInterrupt(at_ns=at_ns)])
    enclave.machine.run(at_ns)
    assert not enclave.machine.local_apic.intr
    enclave.interrupt()
    assert enclave.machine.local_apic.intr
    enclave.take(fault("interrupt", "lose", vector))
    assert not enclave.machine.local_apic.intr


def test_a_stalled_clock_moves_what_follows(template: Template) -> None:
    without = template.start().run().virtual_ns
    stalled = template.start(inputs=[fault("clock", "advance", 1000, template.at_ns + 10)]).run()
    assert (stalled.outcome, stalled.virtual_ns - without) == ("COMPLETED", 1000)


@pytest.mark.parametrize(
    ("part", "effect", "value"),
    [
        *(("instruction", "skip", 3), ("instruction", "repeat", 1), ("clock", "advance", 500)),
        *(("interrupt", "raise", 0x21), ("r14", "flip", 8), ("tsc", "flip", 1 << 20)),
    ],
)
def test_a_fault_given_by_hand_is_replayed(
    template: Template, tmp_path: Path, part: str, effect: str, value: int
) -> None:
    enclave = template.start()
    for _ in range(5):
        enclave.step()
    enclave.take(fault(part, effect, value, enclave.machine.clock.now_ns))
    enclave.run()
    assert enclave.recording is not None
    enclave.recording.save(tmp_path / "run.jsonl")
    assert replay(tmp_path / "run.jsonl").equal


@pytest.mark.parametrize(
    ("part", "effect", "value", "problem"),
    [
        ("cr9", "flip", 1, "there is no part 'cr9'; did you mean"),
        ("rax", "skip", 1, "the effect of rax is 'skip'; it must be flip"),
        ("cr0", "flip", 1, "value 1 is not possible for cr0; it must be a mask within 0x6005002e, not 0"),
        ("instruction", "skip", 17, "value 17 is not possible for instruction; it must be 1 to 16"),
        ("rip", "flip", 0, "value 0 is not possible for rip"),
    ],
)
def test_a_fault_that_cannot_be_is_one_line(part: str, effect: str, value: int, problem: str) -> None:
    with pytest.raises(ConfigurationError, match="input HardwareFault") as raised:
        Enclave("beacon", inputs=[fault(part, effect, value)])
    assert problem in str(raised.value)
    assert "\n" not in str(raised.value)
