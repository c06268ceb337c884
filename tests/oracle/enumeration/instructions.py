"""Names of instructions, for reports. If capstone does not know one with all its prefixes, it may with fewer."""

import capstone

from tests.machine.programs import layout
from tests.machine.programs.program import Mode
from tests.oracle.enumeration.encoding import LEGACY_PREFIXES
from tests.oracle.enumeration.programs import Case

_DECODERS = {
    Mode.LONG.value: capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64),
    Mode.COMPATIBILITY.value: capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32),
    Mode.PROTECTED.value: capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32),
}


def text(case: Case) -> str:
    """The instruction as assembly, or as its bytes."""
    code = case.program.code[: case.length]
    for prefixes in _weaker(case.form.prefixes):
        stripped = prefixes + code[len(case.form.prefixes) :]
        for _, _, mnemonic, operands in _DECODERS[case.form.mode].disasm_lite(stripped + bytes(4), layout.CODE, 1):
            return f"{mnemonic} {operands}".strip()
    return f"({code.hex()})"


def mnemonic(case: Case) -> str:
    """The instruction's name without prefixes such as LOCK, or its opcode."""
    words = text(case).split()
    while len(words) > 1 and words[0] in ("lock", "rep", "repe", "repne", "repz", "repnz", "bnd", "notrack", "data16"):
        words.pop(0)
    return words[0].upper() if not words[0].startswith("(") else case.form.name.partition(" ")[2].split(".")[-1]


def _weaker(prefixes: bytes) -> list[bytes]:
    """The prefixes, then without those that mean nothing to most instructions, then none but REX."""
    rex = bytes(byte for byte in prefixes if byte not in LEGACY_PREFIXES)
    return [prefixes, bytes(byte for byte in prefixes if byte not in (0xF0, 0x67)), rex, b""]
