"""The VMM mailbox at 0xFEF01000: the kernel's requests to AetherHost.

Register layout (32 bits each; firmware/src/layout.h, MAILBOX_):

    0x00 ID          reads 0x424D4D56 ("VMMB"): a VMM answers
    0x04 COMMAND     1 VERIFY, 2 COMPILE, 3 TRUST, 4 INSTANTIATE, 5 DESTROY, 6 ADMIT
    0x08 ARGUMENT_0  0x0C ARGUMENT_1
    0x10 RESULT      0 accepted, 1 refused
    0x14 VALUE       the result of INSTANTIATE: size of the linear memory in bytes
"""

from typing import Protocol

from machine.bus.bus import Device

ADDRESS = 0xFEF0_1000
ID, COMMAND, ARGUMENT_0, ARGUMENT_1, RESULT, VALUE = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14
PRESENT = 0x424D_4D56
ACCEPTED, REFUSED = 0, 1
_VERIFY, _COMPILE, _TRUST, _INSTANTIATE, _DESTROY, _ADMIT = range(1, 7)


class Vmm(Protocol):
    """The VMM that serves the mailbox. Each result is `ACCEPTED` or `REFUSED`."""

    def verify(self, base: int, length: int) -> int:
        """Check the signatures of the payload staged at physical `base`."""

    def admit(self, base: int, length: int) -> int:
        """Take over the payload staged at physical `base`, whose signatures the kernel has verified."""

    def compile(self, payload: int) -> int:
        """Prepare payload number `payload`, in order of verification, to make guests from it."""

    def trust(self, base: int, length: int) -> int:
        """Accept the trust anchors at physical `base`."""

    def instantiate(self, payload: int, cycle: int) -> tuple[int, int]:
        """Make a fresh guest, and return the result and the size of its linear memory in bytes."""

    def destroy(self) -> None:
        """Drop the guest."""


class Mailbox(Device):
    """Passes commands to the VMM, and answers back."""

    STATE = ("_registers", "wrong")
    PARTS = ("_vmm",)

    def __init__(self, vmm: Vmm) -> None:
        super().__init__()
        self._vmm = vmm
        self._registers = {ID: PRESENT}
        self.wrong = 0
        """Bits that a fault inverts in the next result."""

    def reset(self) -> None:
        """Clear arguments and results."""
        self._registers = {ID: PRESENT}

    def read(self, offset: int, size: int) -> int:  # noqa: ARG002
        """Return the value of a register."""
        return self._registers.get(offset, 0)

    def write(self, offset: int, size: int, value: int) -> None:  # noqa: ARG002
        """Latch an argument, or execute a command."""
        if offset == COMMAND:
            self._execute(value)
        elif offset in (ARGUMENT_0, ARGUMENT_1):
            self._registers[offset] = value & 0xFFFF_FFFF

    def _execute(self, command: int) -> None:
        first, second = self._registers.get(ARGUMENT_0, 0), self._registers.get(ARGUMENT_1, 0)
        result, value = REFUSED, 0
        if command == _VERIFY:
            result = self._vmm.verify(first, second)
        elif command == _ADMIT:
            result = self._vmm.admit(first, second)
        elif command == _COMPILE:
            result = self._vmm.compile(first)
        elif command == _TRUST:
            result = self._vmm.trust(first, second)
        elif command == _INSTANTIATE:
            result, value = self._vmm.instantiate(first, second)
        elif command == _DESTROY:
            self._vmm.destroy()
            self.reset()
            result = ACCEPTED
        result, self.wrong = result ^ self.wrong, 0
        self._registers[RESULT], self._registers[VALUE] = result, value
