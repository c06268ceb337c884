"""Small kernels that listen to the serial line."""

from tests.machine.boot import images

START = images.BASE + 12
"""The first instruction of a kernel."""
_LEAVE = bytes.fromhex("b0 01 e6 f4")
"""movb $1, %al; outb %al, $0xF4."""

_BODY = bytes.fromhex(
    "66 ba fd 03 ec a8 01 74 fb"  # movw $0x3FD, %dx; 1: inb; testb $1, %al; jz 1b
    "66 ba f8 03 ec 3c 71 74 05"  # movw $0x3F8, %dx; inb; cmpb $'q', %al; je to the end
    "fe c0 ee eb e9"  # incb %al; outb; jmp to the start
)
ECHO = _BODY + _LEAVE
"""Echoes each byte plus 1, by polling, and exits at a `q`."""


def on_interrupt(handler: bytes) -> bytes:
    """Code that sleeps until a byte arrives, with a handler for IRQ 4."""
    at, tables = START + 0x60, START + 0x80
    code = b"\xbc" + (0x300000).to_bytes(4, "little")  # movl $0x300000, %esp
    code += b"\x0f\x01\x15" + tables.to_bytes(4, "little")  # lgdt
    code += b"\x0f\x01\x1d" + (tables + 6).to_bytes(4, "little")  # lidt
    code += bytes.fromhex("66 ba f9 03 b0 01 ee")  # IER: received data
    code += bytes.fromhex("b0 ef e6 21")  # the first 8259: IRQ 4 alone
    code += bytes.fromhex("66 ba f8 03 b0 3e ee")  # send `>`
    code += bytes.fromhex("ea") + (START + len(code) + 7).to_bytes(4, "little") + b"\x08\x00"  # ljmp $8
    code += bytes.fromhex("fb f4 eb fd")  # sti; 1: hlt; jmp 1b
    code = code.ljust(0x60, b"\x90") + handler
    for limit, place in ((15, 0x90), (13 * 8 - 1, 0xA0)):
        code = code.ljust(0x80, b"\x90") + limit.to_bytes(2, "little") + (START + place).to_bytes(4, "little")
    code = code.ljust(0x90, b"\0") + bytes(8) + bytes.fromhex("ffff0000009acf00") + bytes(12 * 8)
    return code + at.to_bytes(4, "little")[:2] + bytes.fromhex("0800008e") + at.to_bytes(4, "little")[2:]


RECEIVE_AND_LEAVE = bytes.fromhex("66 ba f8 03 ec ee") + _LEAVE
"""A handler that echoes the byte and exits."""
RECEIVE_AND_FAIL = bytes.fromhex("66 ba f8 03 ec 0f 01 1d") + (START + 0x90).to_bytes(4, "little") + b"\x0f\x0b"
"""A handler that loads an empty interrupt descriptor table and executes UD2."""
