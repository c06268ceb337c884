"""The committed kernel: it matches its sources, and its memory map keeps its promises."""

import importlib.metadata
import io
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from capstone import CS_ARCH_X86, CS_MODE_64, Cs
from elftools.elf.elffile import ELFFile

import firmware
from enclave_sim import memory_map
from enclave_sim.enclave.attester import attestation_port
from enclave_sim.enclave.devices import enclave_block, mailbox
from enclave_sim.enclave.engine.gate_coprocessor import CALL, DIVIDE, ILLEGAL, READ, WRITE
from enclave_sim.specification import Cause, HostFunction, Phase, Status, describe_detail
from firmware.build import SIGNATURES, SOURCES, VMM, build
from machine.architecture import paging
from machine.boot import loader
from machine.bus.ram import PAGE_SIZE, Ram
from machine.devices import tpm_crb
from machine.devices.apic import local_apic
from machine.devices.engines import hash_engine, scrub_engine
from machine.machine import Machine, MachineConfiguration

PINNED_ZIG = "0.17.1"


@pytest.fixture(scope="module")
def rebuilt() -> tuple[bytes, str]:
    return build()


@pytest.mark.slow
def test_the_committed_image_is_what_the_sources_build(rebuilt: tuple[bytes, str]) -> None:
    assert importlib.metadata.version("ziglang") == PINNED_ZIG
    assert rebuilt[0] == firmware.built_in().image


@pytest.mark.slow
def test_the_committed_description_belongs_to_the_image(rebuilt: tuple[bytes, str]) -> None:
    committed = (Path(firmware.__file__).parent / "aether.json").read_text()
    assert rebuilt[1] == committed


def test_lines_of_the_committed_image_are_lines_with_code() -> None:
    """Notices most changes of a source since the image was built, without a compiler."""
    sources = defaultdict[str, list[list[str]]](list)  # two are called signatures.c
    for path in (path for room in (SOURCES, VMM, SIGNATURES) for path in room.iterdir()):
        sources[path.name].append([line.strip() for line in path.read_text().splitlines()])
    debug = ELFFile(io.BytesIO(firmware.built_in().image)).get_dwarf_info()
    found = set()
    for program in (debug.line_program_for_CU(unit) for unit in debug.iter_CUs()):
        assert program is not None
        states = [entry.state for entry in program.get_entries() if entry.state is not None and entry.state.line]
        found |= {(program["file_entry"][one.file - 1].name.decode(), one.line) for one in states}
    ours = sorted((name, line) for name, line in found if name in sources)
    assert len({name for name, _ in ours}) > 20
    code = {
        (name, at + 1) for name in sources for text in sources[name] for at, line in enumerate(text) if is_code(line)
    }
    assert [one for one in ours if one not in code] == [], "make firmware"


def is_code(line: str) -> bool:
    return bool(line) and not line.startswith(("//", "/*", "* "))


def test_the_image_holds_no_path_of_the_machine_that_built_it() -> None:
    assert str(SOURCES).encode() not in firmware.built_in().image
    assert b"/firmware" in firmware.built_in().image


def test_debug_lines_lead_back_to_the_sources() -> None:
    elf = ELFFile(io.BytesIO(firmware.built_in().image))
    names = {unit.get_top_DIE().attributes["DW_AT_name"].value.decode() for unit in elf.get_dwarf_info().iter_CUs()}
    assert {"kernel.c", "boot.S", "annihilate.c"} <= {Path(name).name for name in names}


def test_no_function_of_ring_0_uses_vector_registers() -> None:
    """Those in assembly, which zero them, have no size."""
    elf = ELFFile(io.BytesIO(firmware.built_in().image))
    text, code = elf.get_section_by_name(".text"), elf.get_section_by_name(".text").data()
    found = [one for one in elf.get_section_by_name(".symtab").iter_symbols() if one["st_info"]["type"] == "STT_FUNC"]
    functions = [one for one in found if one["st_size"] and one["st_shndx"] == elf.get_section_index(".text")]
    assert {"irq", "sha256", "verify_module", "ml_dsa_65_verifies"} <= {one.name for one in functions}
    disassembler = Cs(CS_ARCH_X86, CS_MODE_64)
    for one in functions:
        start = one["st_value"] - text["sh_addr"]
        for instruction in disassembler.disasm(code[start : start + one["st_size"]], one["st_value"]):
            assert "mm" not in instruction.op_str, f"{one.name}: {instruction}"


@pytest.mark.parametrize("source", sorted([*SOURCES.iterdir(), *SIGNATURES.iterdir()]), ids=lambda path: path.name)
def test_every_source_is_read_in_one_sitting(source: Path) -> None:
    assert len(source.read_text().splitlines()) <= 250


LAYOUT = firmware.layout()


@pytest.mark.parametrize(
    ("prefix", "numbers"),
    [
        ("PHASE_", Phase),
        ("STATUS_", Status),
        ("CAUSE_", Cause),
        ("CALL_", HostFunction),
    ],
)
def test_python_and_the_kernel_agree_on_numbers(prefix: str, numbers: type) -> None:
    theirs = {n.removeprefix(prefix): v for n, v in LAYOUT.items() if n.startswith(prefix)}
    ours = {member.name: int(member) for member in numbers}  # type: ignore[attr-defined]
    assert {name: theirs[name] for name in ours} == ours


def test_python_and_the_kernel_agree_on_device_registers() -> None:
    block = {n.removeprefix("ENCLAVE_"): v for n, v in LAYOUT.items() if n.startswith("ENCLAVE_")}
    assert {name: getattr(enclave_block, name) for name in block} == block
    assert LAYOUT["ENCLAVE"] == enclave_block.ADDRESS
    assert (LAYOUT["MAILBOX"], LAYOUT["MAILBOX_PRESENT"]) == (mailbox.ADDRESS, mailbox.PRESENT)
    for name in ("COMMAND", "ARGUMENT_0", "ARGUMENT_1", "RESULT", "VALUE"):
        assert LAYOUT[f"MAILBOX_{name}"] == getattr(mailbox, name)
    assert (LAYOUT["VMM_ACCEPTED"], LAYOUT["VMM_REFUSED"]) == (mailbox.ACCEPTED, mailbox.REFUSED)
    assert (LAYOUT["VERIFIER"], LAYOUT["VERIFIER_PRESENT"]) == (attestation_port.ADDRESS, attestation_port.PRESENT)
    for name in ("ID", "CHALLENGE", "EVIDENCE", "RESULT", "NONCE", "ACCEPTED", "REFUSED"):
        assert LAYOUT[f"VERIFIER_{name}"] == getattr(attestation_port, name)
    assert (LAYOUT["HASH"], LAYOUT["HASH_PRESENT"]) == (hash_engine.ADDRESS, hash_engine.ID)
    assert LAYOUT["TPM"] == tpm_crb.ADDRESS
    for name in ("LOC_CTRL", "LOC_STS", "INTF_ID", "CTRL_REQ", "CTRL_STS", "CTRL_START", "CMD_ADDR", "RSP_ADDR"):
        assert LAYOUT[f"TPM_{name}"] == getattr(tpm_crb, name)
    assert (LAYOUT["SCRUB"], LAYOUT["SCRUB_PRESENT"]) == (scrub_engine.ADDRESS, scrub_engine.ID)
    assert LAYOUT["APIC"] == local_apic.ADDRESS
    names = ("DEPARTURE_CALL", "DEPARTURE_READ", "DEPARTURE_WRITE", "DEPARTURE_ILLEGAL", "DEPARTURE_DIVIDE")
    assert [LAYOUT[name] for name in names] == [CALL, READ, WRITE, ILLEGAL, DIVIDE]


def test_every_detail_the_kernel_can_report_has_words() -> None:
    details = {v for n, v in LAYOUT.items() if n.startswith("DETAIL_") and v}
    assert all(describe_detail(Cause.KERNEL_FAULT, detail) for detail in details)


# The page tables, audited by an implementation independent of the kernel's own audit.


@pytest.fixture(scope="module")
def ram() -> Ram:
    machine = Machine(MachineConfiguration(LAYOUT["RAM_SIZE"]))
    loader.load(machine, firmware.built_in().image, unallocated_sections=False)
    return machine.ram


LOOKED_AT = (range(0, 0x0400_0000), range(0x4000_0000, 0x4100_0000), range(0x1_FF00_0000, 0x2_0100_0000))


def pages(ram: Ram, root: str) -> Iterator[tuple[int, paging.Translation]]:
    for address in (page for where in LOOKED_AT for page in where[::PAGE_SIZE]):
        found = paging.walk(ram, LAYOUT[root], address)
        if found is not None:
            yield address, msgspec.structs.replace(found, entries=())


@pytest.mark.parametrize("root", ["PML4_ACTIVE", "PML4_NATIVE", "PML4_RESIDENT", "PML4_DORMANT"])
def test_no_page_is_writable_and_executable(ram: Ram, root: str) -> None:
    assert [hex(a) for a, page in pages(ram, root) if page.writable and page.executable] == []


def test_ring_3_reaches_its_three_regions_and_nothing_else(ram: Ram) -> None:
    reached = {memory_map.region_at(a) for a, page in pages(ram, "PML4_ACTIVE") if page.user}
    assert {r.name for r in reached if r is not None} == {"gate", "guest_stack", "heap"}
    assert None not in reached


def test_for_a_flat_payload_the_staging_area_is_ring_3_code_that_nobody_can_write(ram: Ram) -> None:
    active, native = dict(pages(ram, "PML4_ACTIVE")), dict(pages(ram, "PML4_NATIVE"))
    staging = memory_map.region("staging")
    code = {a: p for a, p in native.items() if staging.base <= p.physical < staging.end}
    assert list(code) == list(range(staging.base, staging.end, PAGE_SIZE))
    assert all(page.user and page.executable and not page.writable for page in code.values())
    # Everything else is as in the active set, so no other address leads there.
    assert {a: p for a, p in native.items() if a not in code} == {a: p for a, p in active.items() if a not in code}


def test_the_resident_vmm_executes_its_code_and_writes_the_guests_memory_alone(ram: Ram) -> None:
    reached = {memory_map.region_at(p.physical): p for _, p in pages(ram, "PML4_RESIDENT") if p.user}
    found = {region.name: (page.writable, page.executable) for region, page in reached.items() if region is not None}
    assert None not in reached
    assert {name for name, (writable, _) in found.items() if writable} == {*memory_map.GUEST_MEMORY}
    assert {name for name, (_, executable) in found.items() if executable} == {"vmm_text"}
    assert found.keys() == {*memory_map.GUEST_MEMORY, "vmm_text", "vmm_rodata", "staging", "arena"}


def test_what_the_resident_vmm_reads_cannot_be_written_while_it_runs(ram: Ram) -> None:
    read = ("staging", "arena", "vmm_text", "vmm_rodata")
    for _, page in pages(ram, "PML4_RESIDENT"):
        region = memory_map.region_at(page.physical)
        assert region is None or region.name not in read or not page.writable


def test_8_gib_after_the_linear_memory_are_not_mapped(ram: Ram) -> None:
    heap = {
        a: p for a, p in pages(ram, "PML4_RESIDENT") if memory_map.region_at(p.physical) == memory_map.region("heap")
    }
    assert list(heap) == list(range(LAYOUT["LINEAR_BASE"], LAYOUT["LINEAR_END"], PAGE_SIZE))
    assert all(page.physical - at == LAYOUT["HEAP_BASE"] - LAYOUT["LINEAR_BASE"] for at, page in heap.items())
    entries = [int.from_bytes(ram.read(LAYOUT["PDPT_RESIDENT"] + 8 * n, 8), "little") for n in range(512)]
    assert [n for n, entry in enumerate(entries) if entry] == [0, 3, (LAYOUT["LINEAR_END"] >> 30) - 1]
    assert not any(ram.read(LAYOUT["PML4_RESIDENT"] + 8, 511 * 8))


def test_when_dormant_ring_3_reaches_nothing_and_the_heap_is_unmapped(ram: Ram) -> None:
    found = dict(pages(ram, "PML4_DORMANT"))
    assert not any(page.user for page in found.values())
    heap = memory_map.region("heap")
    assert not any(heap.base <= address < heap.end for address in found)


@pytest.mark.parametrize("root", ["PML4_ACTIVE", "PML4_DORMANT"])
def test_every_region_is_mapped_with_the_rights_the_map_gives_it(ram: Ram, root: str) -> None:
    for address, page in pages(ram, root):
        region = memory_map.region_at(page.physical)
        if region is None:
            pytest.fail(f"{address:#x} is mapped but belongs to no region")
        executable = "x" in region.rights and region.name != "vmm_text"  # for ring 3 of the resident VMM only
        assert (page.writable, page.executable) == ("w" in region.rights, executable), region.name


def test_page_0_and_both_sides_of_every_stack_and_of_the_heap_are_guards(ram: Ram) -> None:
    guarded = [r for r in memory_map.regions() if r.name.endswith("stack") or r.name == "heap"]
    assert len(guarded) == 8
    for address in [0, *(r.base - 1 for r in guarded), *(r.end for r in guarded)]:
        assert paging.walk(ram, LAYOUT["PML4_ACTIVE"], address) is None, hex(address)


def test_both_sides_of_each_memory_of_the_resident_vmm_are_guards(ram: Ram) -> None:
    for name in ("guest_stack", "globals", "values", "calls"):
        region = memory_map.region(name)
        for address, is_mapped in (
            (region.base - 1, False),
            (region.base, True),
            (region.end - 1, True),
            (region.end, False),
        ):
            assert (paging.walk(ram, LAYOUT["PML4_RESIDENT"], address) is not None) == is_mapped, hex(address)


def test_the_tables_are_read_only_and_the_processor_has_nothing_to_write_there(ram: Ram) -> None:
    tables = memory_map.region("page_tables")
    for address in range(tables.base, tables.end, PAGE_SIZE):
        found = paging.walk(ram, LAYOUT["PML4_ACTIVE"], address)
        assert found is not None
        assert not found.writable
    for offset in range(tables.base, tables.end, 8):
        entry = int.from_bytes(ram.read(offset, 8), "little")
        is_leaf = entry & 0x80 or any(
            LAYOUT[t] <= offset < LAYOUT[t] + PAGE_SIZE for t in LAYOUT if t.startswith("PT_")
        )
        touched = 0x60 if is_leaf else 0x20
        assert not entry & 1 or entry & touched == touched, hex(offset)
