"""A device that raises an exception: it passes out of the run, and the processor's state is that of the instruction."""

from typing import Any

import pytest

from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import GENERAL, Mode, Program

BENCHES: dict[str, dict[str, Any]] = {
    "native": {},
    "portable": {"portable": True},
    "stepping": {"stepping": True},
    "by block": {"by_block": True},
}
CR2 = 0x1234_5678
READ = b"\xa1" + layout.DEVICE.to_bytes(4, "little")  # mov eax, [device]
WRITE = b"\xa3" + layout.DEVICE.to_bytes(4, "little")


class BrokenDeviceError(Exception):
    """The error of the device."""


def broken(*_arguments: int) -> int:
    raise BrokenDeviceError


@pytest.fixture(params=list(BENCHES.values()), ids=list(BENCHES))
def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(**request.param)
    for name in ("read", "write"):
        monkeypatch.setattr(made._device, name, broken)
    return made


def fail(bench: Bench, code: bytes) -> None:
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER, "RBX": 7}
    with pytest.raises(BrokenDeviceError):
        bench.run(Program(code, Mode.COMPATIBILITY, registers=tuple(values.values())))


@pytest.mark.parametrize("code", [READ, WRITE], ids=["read", "write"])
def test_the_run_raises_it_after_the_instruction(bench: Bench, code: bytes) -> None:
    fail(bench, b"\x90\x43" + code + b"\x43\x43")  # NOP; INC EBX; ...; INC EBX twice
    machine = bench.machine
    assert machine.cpu.rip == layout.CODE + 2 + len(code)
    assert machine.cpu.registers.rbx == 8
    assert machine.cpu.context.cr2.value == 0
    assert not machine.halted


@pytest.mark.parametrize("code", [READ, WRITE], ids=["read", "write"])
def test_cr2_stays_although_no_page_follows(bench: Bench, code: bytes) -> None:
    """Unicorn looks for the next instruction where there is no page, before it stops."""
    at = -len(code) & 0xFFFF_FFFF
    stores = b"".join(b"\xc6\x05" + (at + n).to_bytes(4, "little") + code[n : n + 1] for n in range(len(code)))
    fail(bench, stores + b"\xb8" + at.to_bytes(4, "little") + b"\xff\xe0")
    assert bench.machine.cpu.rip == 0
    assert bench.machine.cpu.context.cr2.value == 0
