"""Bits as text: the flags of registers, descriptors and page table entries (SDM volume 3, 2.3-2.5, 3.4.5, 4.5)."""

from collections.abc import Mapping

RFLAGS = {
    0: "CF", 2: "PF", 4: "AF", 6: "ZF", 7: "SF", 8: "TF", 9: "IF", 10: "DF", 11: "OF",
    14: "NT", 16: "RF", 17: "VM", 18: "AC", 19: "VIF", 20: "VIP", 21: "ID",
}  # fmt: skip
CR0 = {0: "PE", 1: "MP", 2: "EM", 3: "TS", 4: "ET", 5: "NE", 16: "WP", 18: "AM", 29: "NW", 30: "CD", 31: "PG"}
CR4 = {
    0: "VME", 1: "PVI", 2: "TSD", 3: "DE", 4: "PSE", 5: "PAE", 6: "MCE", 7: "PGE", 8: "PCE", 9: "OSFXSR",
    10: "OSXMMEXCPT", 11: "UMIP", 12: "LA57", 13: "VMXE", 14: "SMXE", 16: "FSGSBASE", 17: "PCIDE", 18: "OSXSAVE",
    20: "SMEP", 21: "SMAP", 22: "PKE",
}  # fmt: skip
EFER = {0: "SCE", 8: "LME", 10: "LMA", 11: "NXE"}
PAGE_FAULT = {0: "protection", 1: "write", 2: "user", 3: "reserved bit", 4: "instruction fetch"}
MXCSR = {
    0: "IE", 1: "DE", 2: "ZE", 3: "OE", 4: "UE", 5: "PE", 6: "DAZ",
    7: "IM", 8: "DM", 9: "ZM", 10: "OM", 11: "UM", 12: "PM", 15: "FTZ",
}  # fmt: skip
DR7 = {0: "L0", 1: "G0", 2: "L1", 3: "G1", 4: "L2", 5: "G2", 6: "L3", 7: "G3", 8: "LE", 9: "GE", 13: "GD"}
DR6 = {0: "B0", 1: "B1", 2: "B2", 3: "B3", 13: "BD", 14: "BS", 15: "BT"}
_IOPL = 12

_SYSTEM_TYPES = {
    0x1: "16-bit TSS, available",
    0x2: "LDT",
    0x3: "16-bit TSS, busy",
    0x4: "16-bit call gate",
    0x5: "task gate",
    0x6: "16-bit interrupt gate",
    0x7: "16-bit trap gate",
    0x9: "TSS, available",
    0xB: "TSS, busy",
    0xC: "call gate",
    0xE: "interrupt gate",
    0xF: "trap gate",
}


def names_of(value: int, names: Mapping[int, str]) -> list[str]:
    """Return the names of the set bits, the lowest first. A bit without a name is given by its number."""
    return [names.get(bit, f"bit {bit}") for bit in range(value.bit_length()) if value >> bit & 1]


def flags(rflags: int) -> str:
    """Describe RFLAGS, without bit 1, which is always set."""
    words = names_of(rflags & ~(2 | 3 << _IOPL), RFLAGS)
    privilege = rflags >> _IOPL & 3
    return " ".join([*words, *([f"IOPL={privilege}"] if privilege else [])]) or "none"


def selector(value: int) -> str:
    """Describe a selector: table, index, requested privilege level."""
    if not value & ~3:
        return "null"
    return f"{'LDT' if value & 4 else 'GDT'}[{value >> 3}] RPL {value & 3}"


def system_type(number: int) -> str:
    """Describe the type of a system descriptor or gate."""
    return _SYSTEM_TYPES.get(number, f"reserved type {number:#x}")


def segment_flags(flags_word: int) -> str:
    """Describe the second doubleword of a descriptor, as cached in a segment register."""
    if not flags_word >> 15 & 1:
        return "not present"
    level = f"DPL {flags_word >> 13 & 3}"
    if not flags_word >> 12 & 1:
        return f"{system_type(flags_word >> 8 & 0xF)}, {level}"
    if flags_word >> 11 & 1:
        width = "64-bit" if flags_word >> 21 & 1 else "32-bit" if flags_word >> 22 & 1 else "16-bit"
        words = [f"{width} code", level, "readable" if flags_word >> 9 & 1 else "execute-only"]
        words += ["conforming"] if flags_word >> 10 & 1 else []
    else:
        words = ["data", level, "writable" if flags_word >> 9 & 1 else "read-only"]
        words += ["expands down"] if flags_word >> 10 & 1 else []
    return ", ".join([*words, *(["accessed"] if flags_word >> 8 & 1 else [])])


def page_entry(entry: int, *, leaf: bool) -> str:
    """Describe the rights and flags of a page table entry."""
    if not entry & 1:
        return "not present"
    words = ["writable" if entry & 2 else "read-only", "user" if entry & 4 else "supervisor"]
    words.append("no-execute" if entry >> 63 else "executable")
    for bit, word in ((3, "write-through"), (4, "uncached"), (5, "accessed")):
        words += [word] if entry >> bit & 1 else []
    if leaf:
        words += ["dirty"] if entry >> 6 & 1 else []
        words += ["global"] if entry >> 8 & 1 else []
    return ", ".join(words)
