"""Loops in 64-bit and 32-bit code, of many kinds of instructions."""

from tests.machine.programs import layout
from tests.machine.programs.program import Mode, Program

ROUNDS = 300
RCX, RBX, RBP, RSI, RDI, R12 = 1, 3, 5, 6, 7, 12
SNIPPETS = {
    "arithmetic": "4801d8 48c1c805 480fafc0",
    "load": "488b06",
    "store": "488906",
    "next": "4883c603",
    "add to memory": "480106",
    "rotate memory": "48d116",
    "exchange": "488706",
    "locked": "f0480fc106",
    "bit in memory": "480fab06",
    "bits": "4801d8 9c 5a 04b8 0fabc0 9c 5a 48ffc0 480fbae803 9c 5a",
    "push and pop": "50 5a",
    "push memory": "ff36 58",
    "pop memory": "50 8f06",
    "call": "e800000000 58",
    "indirect call": "488d0502000000 ffd0 58",
    "indirect jump": "488d0502000000 ffe0",
    "repeated move": "4989f5 488d7e43 b905000000 f3a5 4c89ee",
    "repeated scan": "4889f7 b940000000 f2ae",
    "vector load": "0f1006",
    "vector store": "0f1146f8",
    "vector arithmetic": "0f58c1 660f58d0 f30f51d8",
    "flags": "9c 5a",
    "processor": "4953 5b 0fa2 bb10000440",
    "time": "0f31 4801c7",
    "interrupt": "cd81",
    "device, sometimes": "41f6c43f 7502 8b13",
    "device store, sometimes": "41f6c40f 7502 8913",
    "device operand": "41f6c41f 7502 0113",
    "code, sometimes": "41f6c43f 7504 44886501",
    "division": "31d2 b803000000 49f7f4",
    "conditional": "41f6c401 7403 480fc8",
    "loop": "b903000000 e2fe",
}
SNIPPETS_32 = {
    "arithmetic": "01d8 c1c805 0fafc0",
    "load": "8b06",
    "store": "8906",
    "next": "83c603",
    "add to memory": "0106",
    "rotate memory": "d116",
    "exchange": "8706",
    "locked": "f00fc106",
    "absolute": "031d00000020",
    "offset": "a100000020 66a302000020",
    "narrow": "66051234 66890e 66b8cdab",
    "16-bit address": "678b07",
    "bit in memory": "0fab06",
    "push and pop": "50 5a",
    "push memory": "ff36 58",
    "push segment": "1e 58 0ea0",
    "pop memory": "50 8f06",
    "call": "e800000000 58",
    "branch of 16 bits": "6690 eb00 0f8400000000",
    "indirect jump": "e800000000 58 83c006 ffe0",
    "indirect call": "e800000000 58 83c006 ffd0 5a",
    "far return": "e800000000 58 83c007 0e 50 cb",
    "load segment": "1e 1f",
    "repeated move": "89f2 b905000000 57 8d7e43 f3a5 5f 89d6",
    "vector load": "0f1006",
    "vector store": "0f1146f8",
    "vector arithmetic": "0f58c1",
    "flags": "9c 5a",
    "decimal": "27 37 2f 3f d40a d50a d6",
    "overflow": "b8ffffff7f 01c0 ce 40",
    "bound": "6206",
    "increment": "40 4a 42",
    "far jump": "ea 09000010 2300",
    "interrupt": "cd81",
    "device, sometimes": "f7c73f000000 7502 8b13",
    "device store, sometimes": "f7c70f000000 7502 8913",
    "code, sometimes": "f7c73f000000 7504 89f8 884501",
    "division": "31d2 b803000000 f7f7",
    "loop": "b903000000 e2fe",
}
"""The far jump is to the next instruction in the first place only: elsewhere, the limit ends what it makes."""


def loop(body: bytes, *, rounds: int = ROUNDS, rsi: int = layout.DATA + 0x1C00, limit: int = 40_000) -> Program:
    """A loop in ring 3. RBX points to a device, RBP to the instruction MOV AL, imm8 with which each round begins."""
    code = b"\xb0\x07" + body + b"\x49\xff\xcc"
    code += b"\x0f\x85" + (-len(code) - 6).to_bytes(4, "little", signed=True)
    registers = list(Program(b"").registers)
    for number, value in ((RBX, layout.DEVICE + 0x10), (RBP, layout.CODE), (RSI, rsi), (R12, rounds)):
        registers[number] = value
    return Program(code, registers=tuple(registers), limit=limit, data=bytes(range(256)) * 32)


def loop_32(
    body: bytes, mode: Mode, *, rounds: int = ROUNDS, ring: int = 3, rsi: int = layout.DATA + 0x1C00
) -> Program:
    """The same in 32-bit code: EDI counts the rounds."""
    code = b"\xb0\x07" + body + b"\x4f"
    code += b"\x0f\x85" + (-len(code) - 6).to_bytes(4, "little", signed=True)
    registers = list(Program(b"").registers)
    for number, value in ((RBX, layout.DEVICE + 0x10), (RBP, layout.CODE), (RSI, rsi), (RDI, rounds)):
        registers[number] = value
    return Program(code, mode=mode, ring=ring, registers=tuple(registers), limit=40_000, data=bytes(range(256)) * 32)
