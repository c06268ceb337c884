"""CPUID and the model-specific registers that change its answers (SDM volume 2, CPUID; volume 4, table 2-2)."""

import struct
from typing import Any

import pytest

from machine.architecture.cpuid import LIMIT_LEAVES, NO_EXECUTE_DISABLE, Switches, cpuid
from machine.architecture.exceptions import GP, UD
from machine.architecture.instruction_set import ROWS, Map

APIC_BASE, MISC_ENABLE, EFER = 0x1B, 0x1A0, 0xC000_0080
AS_BUILT = 1 | 1 << 11 | 1 << 12


def test_the_vendor_is_one_whose_registers_the_machine_has() -> None:
    maximum, ebx, ecx, edx = cpuid(0)
    assert struct.pack("<3I", ebx, edx, ecx) == b"GenuineIntel"
    assert maximum == 0x15


def test_family_and_model_name_a_processor() -> None:
    signature = cpuid(1)[0]
    family, model = signature >> 8 & 15, signature >> 12 & 0xF0 | signature >> 4 & 15
    assert (family, model) == (6, 0x3D)


@pytest.mark.parametrize("leaf", [0x16, 0x3FFF_FFFF, 0x4000_0001, 0x8000_0009, 0xFFFF_FFFF])
def test_a_leaf_above_the_highest_is_the_highest_basic_leaf(leaf: int) -> None:
    assert cpuid(leaf) == cpuid(0x15) == (1, 1, 1_000_000_000, 0)


def test_a_leaf_or_subleaf_in_between_that_is_not_there_is_zero() -> None:
    assert cpuid(3) == cpuid(5) == cpuid(0xA) == cpuid(0xD) == cpuid(7, 1) == cpuid(4, 3) == (0, 0, 0, 0)


def test_each_cache_is_reported_with_its_kind_level_and_size() -> None:
    """SDM volume 2, leaf 4: kind 1 is data, 2 instructions, 3 both; 0 ends the list."""
    caches = []
    for index in range(4):
        eax, ebx, ecx, edx = cpuid(4, index)
        line, partitions, ways = (ebx & 0xFFF) + 1, (ebx >> 12 & 0x3FF) + 1, (ebx >> 22) + 1
        caches.append((eax & 0x1F, eax >> 5 & 7, line, line * partitions * ways * (ecx + 1)))
        assert (edx, bool(eax >> 8 & 1)) == (0, index < 3)  # it initialises itself
    assert caches == [(1, 1, 64, 32 << 10), (2, 1, 64, 32 << 10), (3, 2, 64, 256 << 10), (0, 0, 1, 1)]


def test_the_second_level_cache_is_reported_a_second_time() -> None:
    """Leaf 80000006H: size in KiB, associativity (6 is 8 ways), bytes of a line."""
    _, ebx, _, _ = cpuid(4, 2)
    assert cpuid(0x8000_0006) == (0, 0, 256 << 16 | 6 << 12 | (ebx & 0xFFF) + 1, 0)
    assert (ebx >> 22) + 1 == 8


def test_one_thread_of_one_core() -> None:
    assert [cpuid(0xB, level)[1:3] for level in range(3)] == [(1, 0x100), (1, 0x201), (0, 2)]


def test_the_maximum_can_be_limited() -> None:
    limited = Switches(misc_enable=LIMIT_LEAVES)
    assert cpuid(0, 0, limited)[0] == 2
    assert cpuid(7, 0, limited) == cpuid(2)
    assert cpuid(0x8000_0000, 0, limited)[0] == 0x8000_0008


def read_after(kernel: Any, code: str) -> tuple[list[tuple[int, int]], int]:
    """The exceptions of a body, and the quadword that it left at 0x240000."""
    ran = kernel(code + "; ud2")
    return [(t.vector, t.error_code) for t in ran.taken], int.from_bytes(ran.machine.ram.read(0x24_0000, 8), "little")


def test_the_apic_feature_follows_its_enable_bit(kernel: Any) -> None:
    ask = "movl $1, %eax; cpuid; shrl $9, %edx; andl $1, %edx; "
    off = f"movl ${APIC_BASE}, %ecx; rdmsr; andl $~0x800, %eax; wrmsr; "
    assert read_after(kernel, ask + "movl %edx, 0x240000") == ([(UD, 0)], 1)
    assert read_after(kernel, "movb $9, 0x240000;" + off + ask + "movl %edx, 0x240000") == ([(UD, 0)], 0)


def write(number: int, value: int) -> str:
    return f"movl ${number:#x}, %ecx; movl ${value & 0xFFFF_FFFF:#x}, %eax; movl ${value >> 32:#x}, %edx; wrmsr; "


def read(number: int) -> str:
    return f"movl ${number:#x}, %ecx; rdmsr; movl %eax, 0x240000; movl %edx, 0x240004; "


def test_misc_enable_has_its_real_bits(kernel: Any) -> None:
    assert read_after(kernel, read(MISC_ENABLE)) == ([(UD, 0)], AS_BUILT)
    limited = AS_BUILT & ~1 | LIMIT_LEAVES
    assert read_after(kernel, write(MISC_ENABLE, limited) + read(MISC_ENABLE)) == ([(UD, 0)], limited)


@pytest.mark.parametrize("value", [AS_BUILT ^ 1 << 11, AS_BUILT ^ 1 << 12, AS_BUILT | 1 << 16, AS_BUILT | 1 << 18])
def test_what_misc_enable_says_is_not_there_cannot_be_switched(kernel: Any, value: int) -> None:
    assert read_after(kernel, write(MISC_ENABLE, value))[0] == [(GP, 0)]


def test_no_execute_can_be_made_unavailable(kernel: Any) -> None:
    ask = "movl $0x80000001, %eax; cpuid; shrl $20, %edx; andl $1, %edx; movl %edx, 0x240000; "
    disable = write(MISC_ENABLE, AS_BUILT | NO_EXECUTE_DISABLE)
    assert read_after(kernel, ask) == ([(UD, 0)], 1)
    assert read_after(kernel, disable + ask) == ([(UD, 0)], 0)
    set_nxe = f"movl ${EFER:#x}, %ecx; rdmsr; orl $0x800, %eax; wrmsr; "
    assert read_after(kernel, disable + set_nxe)[0] == [(GP, 0)]
    assert read_after(kernel, set_nxe)[0] == [(UD, 0)]


@pytest.mark.parametrize(("number", "value"), [(0, 0), (1, 0), (0x17, 0), (0x8B, 0), (0xCE, 10 << 8), (0x1D9, 0)])
def test_registers_that_such_a_processor_always_has(kernel: Any, number: int, value: int) -> None:
    assert read_after(kernel, read(number)) == ([(UD, 0)], value)


@pytest.mark.parametrize("number", [0x3A, 0xFE, 0x179, 0x480, 0xC001_0015, 0xC001_1029])
def test_registers_of_features_that_are_not_offered_and_of_other_vendors_are_gp(kernel: Any, number: int) -> None:
    assert read_after(kernel, read(number))[0] == [(GP, 0)]


FEATURES = {
    "ADX": (7, 1, 19, Map.THREE_BYTE_38, 0xF6),
    "AES": (1, 2, 25, Map.THREE_BYTE_38, 0xDC),
    "BMI1": (7, 1, 3, Map.VEX_38, 0xF2),
    "BMI2": (7, 1, 8, Map.VEX_38, 0xF5),
    "MOVBE": (1, 2, 22, Map.THREE_BYTE_38, 0xF0),
    "PCLMULQDQ": (1, 2, 1, Map.THREE_BYTE_3A, 0x44),
    "SSE4.2": (1, 2, 20, Map.THREE_BYTE_3A, 0x60),
    "SHA": (7, 1, 29, Map.THREE_BYTE_38, 0xC8),
    "INVPCID": (7, 1, 10, Map.THREE_BYTE_38, 0x82),
    "GFNI": (7, 2, 8, Map.THREE_BYTE_38, 0xCF),
    "MOVDIRI": (7, 2, 27, Map.THREE_BYTE_38, 0xF9),
}


@pytest.mark.parametrize("feature", FEATURES)
def test_an_instruction_is_there_exactly_if_its_feature_is_offered(feature: str) -> None:
    leaf, register, bit, opcode_map, opcode = FEATURES[feature]
    offered = bool(cpuid(leaf)[register] >> bit & 1)
    assert offered == any(row.map == opcode_map and opcode in row.opcodes for row in ROWS)


def test_of_the_extended_features_there_are_seven() -> None:
    """FSGSBASE, BMI1, SMEP, BMI2, ERMS, ADX and SMAP (leaf 7, EBX)."""
    assert [bit for bit in range(32) if cpuid(7)[1] >> bit & 1] == [0, 3, 7, 8, 9, 19, 20]


NOT_OFFERED = {
    "XBEGIN": "C7 F8 00 00 00 00",
    "XABORT": "C6 F8 00",
    "XEND": "0F 01 D5",
    "XTEST": "0F 01 D6",
    "UMONITOR": "F3 0F AE F0",
    "UMWAIT": "F2 0F AE F0",
    "TPAUSE": "66 0F AE F0",
    "MONITOR": "0F 01 C8",
    "MWAIT": "0F 01 C9",
    "INCSSPQ": "F3 48 0F AE E8",
    "SETSSBSY": "F3 0F 01 E8",
    "RSTORSSP": "F3 0F 01 2D 00 00 00 00",
    "WRUSSQ": "66 48 0F 38 F5 06",
    "XOP VPCMOV": "8F E8 78 A2 C1 20",
    "VZEROUPPER": "C5 F8 77",
    "EVEX VADDPS": "62 F1 74 48 58 C2",
    "XGETBV": "0F 01 D0",
    "XSAVE": "0F AE 25 00 00 00 00",
    "RDRAND": "0F C7 F0",
    "RDSEED": "0F C7 F8",
    "RDPID": "F3 0F C7 F8",
    "CLFLUSHOPT": "66 0F AE 3D 00 00 00 00",
    "CLWB": "66 0F AE 35 00 00 00 00",
    "SHA1RNDS4": "0F 3A CC C1 00",
    "INVPCID": "66 0F 38 82 06",
    "RDPKRU": "0F 01 EE",
    "VMCALL": "0F 01 C1",
    "VMREAD": "0F 78 C0",
    "EXTRQ": "66 0F 79 C1",
    "MOVNTSS": "F3 0F 2B 06",
    "FEMMS": "0F 0E",
    "PFADD": "0F 0F C1 9E",
    "GETSEC": "0F 37",
    "PTWRITE": "F3 0F AE E0",
    "MOVDIRI": "0F 38 F9 06",
    "ENCLU": "0F 01 D7",
}
HINTS = {
    "BNDMOV": "66 0F 1A C1",
    "BNDCL": "F3 0F 1A 07",
    "RDSSPQ": "F3 48 0F 1E C8",
    "ENDBR64": "F3 0F 1E FA",
    "PREFETCHW": "0F 0D 0F",
    "PREFETCHWT1": "0F 0D 17",
    "XACQUIRE": "F2 F0 83 03 00",
    "CLDEMOTE": "0F 1C 07",
}


@pytest.mark.parametrize("ring", [0, 3])
@pytest.mark.parametrize("name", NOT_OFFERED)
def test_an_instruction_that_is_not_offered_is_undefined(kernel: Any, name: str, ring: int) -> None:
    code = ", ".join(f"0x{byte}" for byte in NOT_OFFERED[name].split())
    assert [t.vector for t in kernel(f"leaq 0x240000, %rsi; .byte {code}; hlt", ring).taken] == [UD]


@pytest.mark.parametrize("name", HINTS)
def test_a_hint_that_is_not_offered_does_nothing(kernel: Any, name: str) -> None:
    code = ", ".join(f"0x{byte}" for byte in HINTS[name].split())
    body = f"leaq 0x240000, %rbx; movq %rbx, %rdi; movl $5, %eax; movl $7, %ecx; .byte {code}; "
    done, kept = read_after(kernel, body + "addl %ecx, %eax; movl %eax, 0x240000")
    assert (done, kept) == ([(UD, 0)], 12)
