"""Ports outside ring 0: the bitmap in the TSS has to allow each byte of an access (SDM volume 1, 19.5.2)."""

import pytest

from machine.architecture.decoding import decode
from machine.architecture.exceptions import GP, Fault
from machine.instructions.system.port_permissions import check_ports
from tests.machine.instructions.processor import CODE_16, TSS, Mode, Processor

PORT, LAST = 0x43, 0xFFFF
BITMAP = 0x68
WIDTHS = {
    Mode.LONG: {"EC": 1, "48 EC": 1, "ED": 4, "66 ED": 2, "48 ED": 4, "66 48 ED": 4, "48 66 ED": 2, "F3 66 48 6F": 4},
    Mode.COMPATIBILITY: {"EE": 1, "EF": 4, "66 EF": 2, "6D": 4, "66 6F": 2},
    Mode.PROTECTED: {"E5 43": 4, "66 E7 43": 2, "6C": 1},
}
"""Bytes that an instruction accesses."""
WIDTHS_OF_16_BIT_CODE = {"ED": 2, "66 ED": 4, "EC": 1, "6F": 2, "F3 66 6D": 4}


def refuses(processor: Processor, code: str) -> bool:
    """Whether #GP(0) is raised."""
    registers = processor.cpu.registers
    instruction = decode(bytes.fromhex(code), registers.in_64_bit_code, bool(registers.cs.flags & 1 << 22))
    assert instruction is not None
    try:
        check_ports(processor.cpu, instruction)
    except Fault as fault:
        return (fault.vector, fault.error_code) == (GP, 0)
    return False


def with_bitmap(mode: Mode, port: int, closed: int | None, limit: int = 0x2068) -> Processor:
    """A processor in ring 3 with a port in DX and all ports open but one."""
    processor = Processor(mode, 3)
    processor.cpu.registers.rdx = port
    processor.ram.write(TSS + 102, BITMAP.to_bytes(2, "little"))
    processor.ram.write(TSS + BITMAP, bytes(0x2001))
    if closed is not None:
        processor.ram.write(TSS + BITMAP + closed // 8, bytes([1 << closed % 8]))
    processor.cpu.registers.tr.limit = limit
    return processor


@pytest.mark.parametrize(("mode", "code"), [(mode, code) for mode, codes in WIDTHS.items() for code in codes])
def test_every_byte_of_an_access_is_checked(mode: Mode, code: str) -> None:
    found = [refuses(with_bitmap(mode, PORT, PORT + distance), code) for distance in range(-1, 6)]
    assert found == [0 <= distance < WIDTHS[mode][code] for distance in range(-1, 6)]


@pytest.mark.parametrize("code", WIDTHS_OF_16_BIT_CODE)
def test_in_16_bit_code_the_prefix_widens(code: str) -> None:
    found = []
    for distance in range(-1, 6):
        processor = with_bitmap(Mode.PROTECTED, PORT, PORT + distance)
        processor.load("cs", CODE_16)
        found.append(refuses(processor, code))
    assert found == [0 <= distance < WIDTHS_OF_16_BIT_CODE[code] for distance in range(-1, 6)]


@pytest.mark.parametrize("port", [0, PORT, LAST])
def test_the_bitmap_must_reach_one_byte_further(port: int) -> None:
    """Two bytes of it are read for each access."""
    second = BITMAP + port // 8 + 1
    assert not refuses(with_bitmap(Mode.LONG, port, None, second), "EC")
    assert refuses(with_bitmap(Mode.LONG, port, None, second - 1), "EC")
