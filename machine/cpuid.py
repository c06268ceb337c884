"""What CPUID tells (SDM volume 2, CPUID): the processor as it is modelled, never the host's.

No RDRAND, RDSEED, XSAVE or AVX, no machine checks, no virtual-8086 mode; an invariant time stamp counter at 1 GHz;
40 physical and 48 linear address bits.
"""

import struct

Leaf = tuple[int, int, int, int]

_VENDOR = b"PythonX86-64"
_BRAND = b"Emulated x86-64 processor".ljust(48, b"\0")
# Leaf 1, EDX: FPU DE PSE TSC MSR PAE CX8 APIC SEP PGE CMOV PAT PSE-36 CLFSH MMX FXSR SSE SSE2
_FEATURES_EDX = sum(1 << bit for bit in (0, 2, 3, 4, 5, 6, 8, 9, 11, 13, 15, 16, 17, 19, 23, 24, 25, 26))
# Leaf 1, ECX: SSE3 PCLMULQDQ SSSE3 CMPXCHG16B SSE4.1 SSE4.2 MOVBE POPCNT TSC-deadline AES, hypervisor present
_FEATURES_ECX = sum(1 << bit for bit in (0, 1, 9, 13, 19, 20, 22, 23, 24, 25, 31))
# Leaf 7, EBX: FSGSBASE BMI1 SMEP BMI2 ERMS ADX SMAP; ECX: UMIP
_STRUCTURED_EBX = sum(1 << bit for bit in (0, 3, 7, 8, 9, 19, 20))
_STRUCTURED_ECX = 1 << 2
# Leaf 80000001h, ECX: LAHF LZCNT; EDX: SYSCALL NX 1-GByte pages RDTSCP LM
_EXTENDED_ECX = sum(1 << bit for bit in (0, 5))
_EXTENDED_EDX = sum(1 << bit for bit in (11, 20, 26, 27, 29))
_TSC_HZ = 1_000_000_000


def _vendor(maximum: int) -> Leaf:
    ebx, edx, ecx = struct.unpack("<3I", _VENDOR)
    return maximum, ebx, ecx, edx


def _brand(part: int) -> Leaf:
    eax, ebx, ecx, edx = struct.unpack_from("<4I", _BRAND, 16 * part)
    return eax, ebx, ecx, edx


_LEAVES: dict[int, Leaf] = {
    0x0000_0000: _vendor(0x15),
    0x0000_0001: (0x0000_0600, 8 << 8, _FEATURES_ECX, _FEATURES_EDX),
    0x0000_0007: (0, _STRUCTURED_EBX, _STRUCTURED_ECX, 0),
    0x0000_0006: (1 << 2, 0, 0, 0),  # the APIC timer always runs
    0x0000_0015: (1, 1, _TSC_HZ, 0),
    0x4000_0000: _vendor(0x4000_0000),
    0x8000_0000: _vendor(0x8000_0008),
    0x8000_0001: (0, 0, _EXTENDED_ECX, _EXTENDED_EDX),
    0x8000_0002: _brand(0),
    0x8000_0003: _brand(1),
    0x8000_0004: _brand(2),
    0x8000_0007: (0, 0, 0, 1 << 8),  # invariant TSC
    0x8000_0008: (48 << 8 | 40, 0, 0, 0),
}


def cpuid(leaf: int, subleaf: int = 0) -> Leaf:
    """EAX, EBX, ECX, EDX for a leaf; zeros for one that does not exist. Leaf 7 has one subleaf, the rest none."""
    return _LEAVES.get(leaf, (0, 0, 0, 0)) if leaf != 7 or subleaf == 0 else (0, 0, 0, 0)
