"""A look at a kernel at each crossing between the rings: the gates that are open, and what handlers do to registers."""

from dataclasses import dataclass, field, replace

from enclave_sim.labs.bounded import Bounds
from machine.architecture.processor_state import GENERAL_REGISTERS, SEGMENT_REGISTERS
from machine.events import Event, RingTransition

_WORD, _DESCRIPTOR = 8, 16
_FRAME = ("RIP", "CS", "RFLAGS", "RSP", "SS")
"""Words that the processor pushes, from the lowest address upwards (SDM volume 3, 6.14)."""
_GENERAL = tuple(name.upper() for name in GENERAL_REGISTERS if name != "rsp")
_VECTORS = tuple(f"XMM{number}" for number in range(16))
KEPT = (
    *(name for name in _GENERAL if name != "RAX"),
    *_FRAME,
    *(name.upper() for name in SEGMENT_REGISTERS if name not in ("cs", "ss")),
    *("FS base", "GS base", "x87", "MXCSR", *_VECTORS),
)
"""The registers that a handler must keep; x87 is the whole state of the unit."""
_PRESENT_FOR_RING_3 = 0xE0
"""In the byte of attributes: present, and DPL 3."""
TYPE, INTERRUPT_GATE = 0x0F, 0x0E
"""The bits of the type in that byte, and the type."""


@dataclass(frozen=True)
class Call:
    """One INT in ring 3: the registers before it and after the return."""

    before: dict[str, int]
    after: dict[str, int] = field(default_factory=dict)

    @property
    def lost(self) -> list[str]:
        """The registers that are not as before; empty if it did not return."""
        return [name for name in KEPT if self.after and self.before[name] != self.after[name]]


class Crossings(Bounds):
    """A recorder that bounds a run, and looks at the processor whenever it changes the ring.

    Args:
        vector: The vector of the gate; None for a guest that calls none.
    """

    def __init__(self, vector: int | None = None) -> None:
        super().__init__()
        self._vector = vector
        self.calls: list[Call] = []
        self.open: dict[int, int] = {}
        """The vectors that ring 3 might have called, at any time, with the byte of attributes of the gate."""

    def record(self, event: Event) -> None:
        """Take one event as it happens."""
        super().record(event)
        if not isinstance(event, RingTransition):
            return
        if event.from_ring == 3 and event.cause == "software_interrupt" and event.vector == self._vector:
            self.calls.append(Call(self._registers(event.rsp)))
        elif event.to_ring == 3:
            self.open |= self._open()
            if self.calls and not self.calls[-1].after:
                self.calls[-1] = replace(self.calls[-1], after=self._registers())

    def _registers(self, frame: int | None = None) -> dict[str, int]:
        """Return ring 3's registers: those that an interrupt has pushed are in its frame."""
        cpu = self._enclave.machine.cpu
        found = {name: cpu.read_register(name) for name in ("RAX", *KEPT) if name not in ("FS base", "GS base", "x87")}
        found |= {"FS base": cpu.registers.fs.base, "GS base": cpu.registers.gs.base}
        found["x87"] = int.from_bytes(cpu.context.x87, "little")
        if frame is not None:
            pushed = self._enclave.machine.ram.read(frame, len(_FRAME) * _WORD)
            for at, name in enumerate(_FRAME):
                found[name] = int.from_bytes(pushed[at * _WORD : (at + 1) * _WORD], "little")
        return found

    def _open(self) -> dict[int, int]:
        """Return the vectors whose gates are present and open to ring 3, each with its byte of attributes."""
        machine = self._enclave.machine
        _, base, limit = machine.cpu.read_table_register("IDTR")
        size = min(limit + 1, 256 * _DESCRIPTOR) // _DESCRIPTOR * _DESCRIPTOR
        if not 0 <= base <= machine.ram.size - size:
            return {}
        attributes = machine.ram.read(base, size)[5::_DESCRIPTOR]
        return {
            vector: one for vector, one in enumerate(attributes) if one & _PRESENT_FOR_RING_3 == _PRESENT_FOR_RING_3
        }
