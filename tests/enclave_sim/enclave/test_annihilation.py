"""Every cause ends the same way without residue, whatever the guest did and whenever it came."""

import functools
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import payloads
from enclave_sim import Attestation, Cause, Enclave, Phase, events
from enclave_sim.attestation import ReferenceValues
from enclave_sim.events import AnnihilationBegan, AnnihilationStep
from enclave_sim.memory_map import region
from tests.enclave_sim.enclave.lives import assert_annihilated, kinds, run

# Every cause ends the same way.


def test_cause_tamper() -> None:
    enclave = Enclave("spinner")
    enclave.run(limit_ns=5_000_000)
    enclave.tamper()
    assert_annihilated(enclave, enclave.run(), "TAMPER")


def test_cause_tamper_while_asleep() -> None:
    enclave = Enclave("beacon", cycles=2, wake_ns=4_000_000_000)
    enclave.run(limit_ns=100_000_000)
    enclave.tamper()
    assert_annihilated(enclave, enclave.run(), "TAMPER")


def test_cause_attestation_refused_where_it_is_required_and_the_evidence_is_not_accepted() -> None:
    enclave, result = run("beacon", attestation=Attestation.REQUIRE, reference=ReferenceValues())
    assert_annihilated(enclave, result, "ATTESTATION_REFUSED")
    assert result.signals == ()


def test_cause_payload_rejected() -> None:
    enclave, result = run(payloads.read("beacon")[:-1])
    assert_annihilated(enclave, result, "PAYLOAD_REJECTED")
    assert result.phases[-1].name == "WASM_INIT"
    assert result.phases[-1].state is None


def test_cause_kernel_fault_when_the_arena_is_exhausted() -> None:
    enclave, result = run("beacon", arena_bytes=8)
    assert_annihilated(enclave, result, "KERNEL_FAULT")
    assert "arena exhausted" in result.detail


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 4096])
def test_the_arena_serves_what_fits_and_never_wraps(size: int) -> None:
    enclave, result = run("beacon", arena_bytes=size, attestation=Attestation.OFF)
    assert result.outcome == ("COMPLETED" if size >= 16 else "KERNEL_FAULT")
    assert [e.base for e in kinds(enclave, events.ArenaAllocated)] == ([0x20_0000] if size >= 16 else [])


def test_cause_kernel_fault_on_an_interrupt_nobody_asked_for() -> None:
    enclave = Enclave("spinner")
    enclave.run(limit_ns=5_000_000)
    enclave.machine.request_interrupt(0x77)
    assert_annihilated(enclave, enclave.run(), "KERNEL_FAULT")


def test_cause_kernel_fault_when_ring_0_faults() -> None:
    """A kernel defect: its stack pointer is set to a guard page, so even the push faults."""
    enclave = Enclave("spinner")
    enclave.run_to(Phase.MEM_MAP)
    enclave.machine.cpu.write_register("RSP", region("kernel_stack").base - 0x800)
    result = enclave.run()
    assert_annihilated(enclave, result, "KERNEL_FAULT")
    assert "double fault" in result.detail


def test_every_cause_is_covered() -> None:
    covered = {name.removeprefix("test_cause_").upper() for name in globals() if name.startswith("test_cause_")}
    for cause in set(Cause) - {Cause.COMPLETED, Cause.SHRED_SELF, Cause.GUEST_FAULT}:
        assert any(name.startswith(cause.name) for name in covered), cause


def test_dormant_processor_state_holds_nothing() -> None:
    """A6: the registers, and the tables they point to."""
    enclave, _ = run("abyss")
    cpu = enclave.machine.cpu
    general = "RAX RBX RCX RDX RSI RDI RBP RSP R8 R9 R10 R11 R12 R13 R14 R15 CR2 DR0 DR1 DR2 DR3 FS_BASE GS_BASE"
    assert {name: cpu.read_register(name) for name in general.split()} == dict.fromkeys(general.split(), 0)
    assert [cpu.read_register(f"XMM{n}") for n in range(16)] == [0] * 16
    assert cpu.read_table_register("IDTR")[1:] == (0, 0)
    assert not cpu.read_register("RFLAGS") & 0x200


def test_dormant_is_for_ever() -> None:
    enclave, result = run("beacon")
    enclave.interrupt()
    enclave.machine.run(enclave.machine.clock.now_ns + 1_000_000)
    assert enclave.dormant
    assert enclave.run() == result


# No residue, whatever the guest did.


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pages=st.integers(1, 64),
    data=st.binary(min_size=1, max_size=200),
    end=st.sampled_from(
        [
            "",
            "unreachable",
            "(call $shred_self)",
            "(drop (i32.load (i32.const -1)))",
            "(drop (i32.div_u (i32.const 1) (call $zero)))",
        ]
    ),
)
def test_residue_is_empty_whatever_the_guest_writes(
    guest: Callable[[str], bytes], pages: int, data: bytes, end: str
) -> None:
    text = "".join(f"\\{byte:02x}" for byte in data)
    last = pages * 65536 - len(data)
    body = f"""(memory {pages}) (data (i32.const 0) "{text}") (data (i32.const {last}) "{text}")
      (func $zero (result i32) (i32.const 0))
      (func (export "_start") (call $emit_signal (i32.load (i32.const {pages * 65536 - 4}))) {end})"""
    enclave = Enclave(guest(body))
    enclave.boot()
    result = enclave.run()
    assert result.residue_bytes == 0
    assert result.halted
    assert result.signals == (
        int.from_bytes((bytes(4) + data)[-4:] if pages * 65536 - 4 >= len(data) else data[-4:], "little"),
    )


def test_the_residue_scan_sees_a_single_byte() -> None:
    enclave, _ = run("beacon")
    call_stack = region("call_stack").base
    for address, name in ((0x0, "unmapped"), (call_stack, "call_stack"), (0xFF_FFFF, "heap"), (0x90_0123, "unmapped")):
        enclave.machine.ram.write(address, b"\x01")
        residue = enclave.scan_residue()
        assert [(r.base, r.data, r.region) for r in residue.ranges] == [(address, b"\x01", name)]
        enclave.machine.ram.write(address, b"\0")


def test_changed_code_is_residue() -> None:
    enclave, _ = run("beacon")
    byte = enclave.machine.ram.read(0x10_0100, 1)[0]
    enclave.machine.ram.write(0x10_0100, bytes([byte ^ 0xFF]))
    assert [r.region for r in enclave.scan_residue().ranges] == ["text"]


def test_ram_after_the_run_is_the_measured_image_and_nothing_else() -> None:
    """The residue scan's result, by comparing all 16 MiB with a freshly loaded image."""
    import firmware
    from machine.boot.elf import parse

    enclave, _ = run("trespasser")
    ram = bytearray(16 << 20)
    for segment in parse(firmware.built_in().image).segments:
        if not segment.flags & 2:
            ram[segment.physical : segment.physical + len(segment.data)] = segment.data
    assert enclave.machine.ram.read(0, 16 << 20) == bytes(ram)


@pytest.mark.slow
@settings(max_examples=60)
@given(at_ns=st.integers(0, 443_000))
def test_tampering_at_any_moment_leaves_nothing(at_ns: int) -> None:
    enclave = Enclave("beacon")
    enclave.run(limit_ns=at_ns)
    enclave.tamper()
    result = enclave.run()
    assert result.outcome in ("TAMPER", "COMPLETED")
    assert_annihilated(enclave, result, result.outcome)


@functools.cache
def way_down() -> tuple[int, int]:
    """The start of the beacon's annihilation, and the time until the handlers' own stacks are scrubbed."""
    enclave, _ = run("beacon")
    began, step_4 = kinds(enclave, AnnihilationBegan)[0].at_ns, kinds(enclave, AnnihilationStep)[3].at_ns
    return began, step_4 - began


@pytest.mark.slow
@settings(max_examples=30)
@given(part=st.floats(0, 1))
def test_a_fault_on_the_way_down_goes_on_where_it_was(part: float) -> None:
    """An NMI outside the tamper line's gate: the handler re-enters annihilation."""
    enclave = Enclave("beacon")
    began, length = way_down()
    enclave.run(limit_ns=began + int(length * part))
    assert enclave.block.cause is Cause.COMPLETED
    enclave.machine.request_nmi()
    assert_annihilated(enclave, enclave.run(), "COMPLETED")
