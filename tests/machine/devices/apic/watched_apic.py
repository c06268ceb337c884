"""A local APIC whose outputs are recorded."""

from hypothesis import strategies as st

from machine.devices.apic import registers as reg
from machine.devices.apic.local_apic import LocalApic
from machine.processor.clock import Clock
from machine.processor.step_hook import NEVER, HookState

vectors = st.integers(16, 255)
SELF, ALL, OTHERS = 1 << 18, 2 << 18, 3 << 18


class Apic(LocalApic):
    """A local APIC, and its outputs."""

    def __init__(self) -> None:
        super().__init__(Clock(HookState(deadline=NEVER)))
        self.nmis = 0
        self.ended: list[int] = []
        self.told = 0
        self.raise_nmi = self._count_nmi
        self.broadcast_eoi = self.ended.append
        self.acknowledge_external = lambda: 0x77
        self.rescheduled = self._count_told

    def _count_nmi(self) -> None:
        self.nmis += 1

    def _count_told(self) -> None:
        self.told += 1

    def get(self, register: int) -> int:
        return self.read(register, 4)

    def set(self, register: int, value: int) -> None:
        self.write(register, 4, value)

    def eoi(self) -> None:
        self.set(reg.EOI, 0)

    def vectors(self, first: int) -> int:
        return sum(self.get(first + 16 * index) << 32 * index for index in range(8))

    def errors(self) -> int:
        self.set(reg.ESR, 0)
        return self.get(reg.ESR)


def send(apic: Apic, vector: int, *, level_triggered: bool = False, mode: int = reg.FIXED) -> bool:
    return apic.message(0, mode, vector, logical=False, level_triggered=level_triggered)
