"""The results of CPUID (SDM volume 2, CPUID), which describe the modelled processor, never the host's.

It identifies itself as an Intel processor of family 6, model 3DH (Broadwell). Software mistakes an unknown vendor for
AMD and writes AMD's registers. This model is the simplest one with all features offered here except UMIP. Its other
features (AVX, XSAVE, RDRAND, RDSEED, VMX, TSX, machine checks, MTRRs, PCIDs, performance counters, MONITOR, and
virtual-8086 mode) are neither offered nor present (instruction_set.py). The time stamp counter is invariant and counts
at 1 GHz; physical addresses have 40 bits, linear addresses 48.
"""

import struct

import msgspec

Leaf = tuple[int, int, int, int]
"""EAX, EBX, ECX, EDX."""

FAST_STRINGS, LIMIT_LEAVES, NO_EXECUTE_DISABLE = 1, 1 << 22, 1 << 34
"""Bits of IA32_MISC_ENABLE (SDM volume 4, table 2-2)."""
_VENDOR = b"GenuineIntel"
_HYPERVISOR = b"EnclaveSim\0\0"
_BRAND = b"Emulated x86-64 processor".ljust(48, b"\0")
_SIGNATURE = 0x0003_06D4  # family 6, model 3DH, stepping 4
_CACHE_LINE_BYTES = 64
# Leaf 1, EDX: FPU DE PSE TSC MSR PAE CX8 APIC SEP PGE CMOV PAT PSE-36 CLFSH MMX FXSR SSE SSE2
_FEATURES_EDX = sum(1 << bit for bit in (0, 2, 3, 4, 5, 6, 8, 9, 11, 13, 15, 16, 17, 19, 23, 24, 25, 26))
_APIC, _NX = 1 << 9, 1 << 20
# Leaf 1, ECX: SSE3 PCLMULQDQ SSSE3 CMPXCHG16B SSE4.1 SSE4.2 MOVBE POPCNT TSC-deadline AES, hypervisor present
_FEATURES_ECX = sum(1 << bit for bit in (0, 1, 9, 13, 19, 20, 22, 23, 24, 25, 31))
# Leaf 7, EBX: FSGSBASE BMI1 SMEP BMI2 ERMS ADX SMAP; ECX: UMIP
_STRUCTURED_EBX = sum(1 << bit for bit in (0, 3, 7, 8, 9, 19, 20))
_STRUCTURED_ECX = 1 << 2
# Leaf 80000001h, ECX: LAHF LZCNT; EDX: SYSCALL NX 1-GByte pages RDTSCP LM
_EXTENDED_ECX = sum(1 << bit for bit in (0, 5))
_EXTENDED_EDX = sum(1 << bit for bit in (11, 20, 26, 27, 29))
_TSC_HZ = 1_000_000_000
_HIGHEST_BASIC, _HIGHEST_EXTENDED, _HIGHEST_WHEN_LIMITED = 0x15, 0x8000_0008, 2


class Switches(msgspec.Struct, frozen=True):
    """The software settings that change the results."""

    apic_enabled: bool = True
    """IA32_APIC_BASE, bit 11."""
    misc_enable: int = FAST_STRINGS
    """IA32_MISC_ENABLE."""


def _name(maximum: int, name: bytes) -> Leaf:
    ebx, edx, ecx = struct.unpack("<3I", name)
    return maximum, ebx, ecx, edx


def _brand(part: int) -> Leaf:
    eax, ebx, ecx, edx = struct.unpack_from("<4I", _BRAND, 16 * part)
    return eax, ebx, ecx, edx


def _cache(kind: int, level: int, ways: int, sets: int) -> Leaf:
    """Return the subleaf of leaf 4 for a cache: `kind` 1 is data, 2 instructions, 3 both. Bit 8: self-initializing."""
    return kind | level << 5 | 1 << 8, ways - 1 << 22 | _CACHE_LINE_BYTES - 1, sets - 1, 0


_LEAVES: dict[int, tuple[Leaf, ...]] = {
    0x0000_0001: ((_SIGNATURE, _CACHE_LINE_BYTES // 8 << 8, _FEATURES_ECX, _FEATURES_EDX),),
    0x0000_0002: ((0x00FF_0001, 0, 0, 0),),  # FFH: the caches are in leaf 4
    0x0000_0004: (_cache(1, 1, 8, 64), _cache(2, 1, 8, 64), _cache(3, 2, 8, 512)),
    0x0000_0006: ((1 << 2, 0, 0, 0),),  # the APIC timer always runs
    0x0000_0007: ((0, _STRUCTURED_EBX, _STRUCTURED_ECX, 0),),
    0x0000_000B: ((0, 1, 1 << 8, 0), (0, 1, 2 << 8 | 1, 0), (0, 0, 2, 0)),  # one thread, one core
    0x0000_0015: ((1, 1, _TSC_HZ, 0),),
    0x4000_0000: (_name(0x4000_0000, _HYPERVISOR),),
    0x8000_0000: ((_HIGHEST_EXTENDED, 0, 0, 0),),
    0x8000_0001: ((0, 0, _EXTENDED_ECX, _EXTENDED_EDX),),
    0x8000_0002: (_brand(0),),
    0x8000_0003: (_brand(1),),
    0x8000_0004: (_brand(2),),
    0x8000_0006: ((0, 0, 256 << 16 | 6 << 12 | _CACHE_LINE_BYTES, 0),),  # second-level cache: 256 KiB, 8 ways
    0x8000_0007: ((0, 0, 0, 1 << 8),),  # invariant TSC
    0x8000_0008: ((48 << 8 | 40, 0, 0, 0),),
}
_SUBLEAVES = frozenset([4, 7, 0xB])


_AFTER_RESET = Switches()


def cpuid(leaf: int, subleaf: int = 0, switches: Switches = _AFTER_RESET) -> Leaf:
    """Answer CPUID with EAX = `leaf` and ECX = `subleaf`.

    A leaf above the highest one returns the highest basic leaf, as on all Intel processors. Lower leaves and subleaves
    that do not exist return zeros.

    Args:
        leaf: EAX, 32 bits.
        subleaf: ECX, 32 bits; ignored by leaves without subleaves.
        switches: The software settings that change the results.

    Returns:
        EAX, EBX, ECX and EDX.
    """
    limited = bool(switches.misc_enable & LIMIT_LEAVES)
    highest = _HIGHEST_WHEN_LIMITED if limited else _HIGHEST_BASIC
    if leaf == 0:
        return _name(highest, _VENDOR)
    basic = leaf < 0x4000_0000
    if (basic and leaf > highest) or leaf > _HIGHEST_EXTENDED or 0x4000_0000 < leaf < 0x8000_0000:
        leaf = highest
    found = _LEAVES.get(leaf)
    if found is None:
        return 0, 0, 0, 0
    if leaf not in _SUBLEAVES:
        subleaf = 0
    if subleaf >= len(found):
        return (0, 0, subleaf & 0xFF, 0) if leaf == 0xB else (0, 0, 0, 0)
    eax, ebx, ecx, edx = found[subleaf]
    if leaf == 1 and not switches.apic_enabled:
        edx &= ~_APIC
    if leaf == 0x8000_0001 and switches.misc_enable & NO_EXECUTE_DISABLE:
        edx &= ~_NX
    return eax, ebx, ecx, edx
