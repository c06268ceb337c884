"""A triple fault is explained by the exceptions that led to it, the registers, and the last instructions."""

from collections.abc import Mapping

import pytest

from enclave_sim.enclave.kernel import triple_fault
from enclave_sim.enclave.kernel.bare_kernel import BareKernel, KernelOptions
from enclave_sim.enclave.kernel.last_events import LastEvents
from enclave_sim.enclave.kernel.program import Program
from enclave_sim.enclave.kernel.source_lines import SourceLines
from machine.host_limit import HostLimit
from machine.machine import Outcome
from tests.machine.boot import images

START = images.BASE + 12
"""The first instruction of a kernel."""
UD2 = bytes.fromhex("0f 0b")
WITH_PAGING = bytes.fromhex(
    "bf 00 00 20 00"  # movl $0x200000, %edi: a page directory
    "c7 07 83 00 00 00"  # movl $0x83, (%edi): the first 4 MiB identity-mapped
    "0f 22 df"  # movl %edi, %cr3
    "b8 10 00 00 00 0f 22 e0"  # movl $0x10, %eax; movl %eax, %cr4: PSE
    "b8 01 00 00 80 0f 22 c0"  # movl $0x80000001, %eax; movl %eax, %cr0: PG
)
WRITE_NOWHERE = bytes.fromhex("a3 78 56 34 12")
"""movl %eax, 0x12345678."""


def explained(code: bytes, symbols: Mapping[str, int] | None = None, **options: int) -> list[str]:
    image, settings = images.kernel1(code=code), KernelOptions(ram_bytes=16 << 20, **options)  # type: ignore[arg-type]
    last = LastEvents(None)
    kernel = settings.kernel("kernel", image, recorder=last)
    assert kernel.advance() is Outcome.SHUTDOWN
    if symbols is not None:
        known = kernel.program
        kernel.program = Program(
            "", symbols, known.regions, known.sections, SourceLines(b"", lambda *_: ""), known.functions
        )
    return list(triple_fault.explanation(kernel, last.events, lambda: settings.kernel("kernel", image)))


def test_it_names_each_exception_from_the_first_that_was_not_delivered() -> None:
    assert explained(UD2)[:4] == [
        f"#UD invalid opcode at {START:#x}",
        "#GP general protection while that was being delivered, error code 0x33 "
        "(entry 6 of the IDT, for #UD invalid opcode)",
        "#DF double fault while that was being delivered, error code 0x0",
        "#GP general protection while that was being delivered: the processor shuts down",
    ]


def test_a_page_fault_has_its_address_and_access() -> None:
    first, *_, registers = explained(WITH_PAGING + WRITE_NOWHERE)[:4]
    at = START + len(WITH_PAGING)
    assert first == (f"#PF page fault at {at:#x}, error code 0x2 (page not present, write, ring 0), address 0x12345678")
    assert "CR2 0x12345678, CR3 0x200000," in registers


def test_addresses_have_the_symbols_of_the_image() -> None:
    lines = explained(b"\xeb\x02\x90\x90" + UD2, {"entry": START, "broken": START + 4})
    assert lines[0].startswith(f"#UD invalid opcode at {START + 4:#x} broken")
    at = lines.index("last branches:")
    assert lines[at + 1] == f"  {START:#x} entry -> {START + 4:#x} broken"


@pytest.mark.slow
@pytest.mark.parametrize("ns", [1, 7])
def test_the_last_instructions_are_those_before_the_fault_in_order(ns: int) -> None:
    lines = explained(b"\xb9\xd0\x07\x00\x00\xe2\xfe" + b"\x90" * 9 + UD2, ns_per_instruction=ns)  # movl, loop, nop
    at = lines.index("last instructions:")
    end = START + 5 + 2 + 9
    assert lines[at + 1 :] == [*(f"  {end - n:#x}  nop" for n in range(7, 0, -1)), f"  {end:#x}  ud2"]


def test_a_loop_is_among_the_branches_and_what_follows_it_is_not() -> None:
    lines = explained(b"\xb9\x03\x00\x00\x00\x90\xe2\xfd" + UD2)  # movl; nop; loop to the nop
    at = lines.index("last branches:")
    loop = f"  {START + 6:#x} -> {START + 5:#x}"
    assert lines[at + 1 : at + 4] == [loop, loop, "last instructions:"]


def test_code_that_is_not_there_is_said_to_be_so() -> None:
    lines = explained(WITH_PAGING + bytes.fromhex("b8 00 00 00 40 ff e0"))  # movl $0x40000000, %eax; jmp *%eax
    assert lines[-1] == "  0x40000000  not mapped to RAM"
    assert lines[0].startswith("#PF page fault at 0x40000000")


def test_a_run_that_is_too_long_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triple_fault, "_LONGEST_RUN", 2)
    assert explained(b"\x90" * 3 + UD2)[-1] == (
        "the last instructions are not looked for: it took more than 2 to get here"
    )


def test_the_host_limit_ends_the_repetition_and_not_the_explanation() -> None:
    image = images.kernel1(code=b"\xb9\xff\xff\x00\x00\xe2\xfe" + UD2)
    last = LastEvents(None)
    kernel = BareKernel("kernel", image, recorder=last)
    assert kernel.advance() is Outcome.SHUTDOWN
    with HostLimit(1e-9):
        lines = list(triple_fault.explanation(kernel, last.events, lambda: BareKernel("kernel", image)))
    assert lines[-1] == "the last instructions are not looked for: the host limit is reached"


def test_an_exception_that_was_delivered_is_not_part_of_the_explanation() -> None:
    handler, tables = START + 0x40, START + 0x60
    code = b"\xbc" + (0x300000).to_bytes(4, "little")  # movl $0x300000, %esp
    code += b"\x0f\x01\x15" + tables.to_bytes(4, "little")  # lgdt
    code += b"\x0f\x01\x1d" + (tables + 6).to_bytes(4, "little") + UD2  # lidt
    code = code.ljust(0x40, b"\x90") + b"\x0f\x01\x1d" + (tables + 12).to_bytes(4, "little") + UD2  # lidt, empty
    for limit, address in ((15, 0x80), (55, 0x90), (0, 0)):
        code = code.ljust(0x60, b"\x90") + limit.to_bytes(2, "little") + (START + address).to_bytes(4, "little")
    code = code.ljust(0x80, b"\0") + bytes(8) + bytes.fromhex("ffff0000009acf00") + bytes(48)  # GDT, IDT up to #BR
    code += handler.to_bytes(4, "little")[:2] + bytes.fromhex("0800008e") + handler.to_bytes(4, "little")[2:]
    lines = explained(code)
    assert lines[0] == f"#UD invalid opcode at {handler + 7:#x}"
    assert sum(line.startswith("#UD") for line in lines) == 1
    assert f"  {START + 19:#x} -> {handler:#x}" in lines
