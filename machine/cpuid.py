"""What CPUID tells (SDM volume 2, CPUID): the processor as it is modelled, never the host's.

No RDRAND, RDSEED or AVX; an invariant time stamp counter at 1 GHz; 39 physical and 48 linear address bits.
"""

import struct

Leaf = tuple[int, int, int, int]

_VENDOR = b"PythonX86-64"
_BRAND = b"Emulated x86-64 processor".ljust(48, b"\0")
# Leaf 1, EDX: FPU DE PSE TSC MSR PAE CX8 APIC PGE CMOV CLFSH MMX FXSR SSE SSE2
_FEATURES_EDX = sum(1 << bit for bit in (0, 2, 3, 4, 5, 6, 8, 9, 13, 15, 19, 23, 24, 25, 26))
# Leaf 1, ECX: SSE3, CMPXCHG16B, hypervisor present
_FEATURES_ECX = sum(1 << bit for bit in (0, 13, 31))
# Leaf 80000001h, EDX: SYSCALL NX LM
_EXTENDED_EDX = sum(1 << bit for bit in (11, 20, 29))
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
    0x0000_0006: (1 << 2, 0, 0, 0),  # the APIC timer always runs
    0x0000_0015: (1, 1, _TSC_HZ, 0),
    0x4000_0000: _vendor(0x4000_0000),
    0x8000_0000: _vendor(0x8000_0008),
    0x8000_0001: (0, 0, 1, _EXTENDED_EDX),
    0x8000_0002: _brand(0),
    0x8000_0003: _brand(1),
    0x8000_0004: _brand(2),
    0x8000_0007: (0, 0, 0, 1 << 8),  # invariant TSC
    0x8000_0008: (48 << 8 | 39, 0, 0, 0),
}


def cpuid(leaf: int) -> Leaf:
    """EAX, EBX, ECX, EDX for a leaf; zeros for one that does not exist. No leaf here has subleaves."""
    return _LEAVES.get(leaf, (0, 0, 0, 0))
