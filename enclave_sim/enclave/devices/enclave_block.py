"""The enclave block at 0xFEF00000: status, sensors, uplink, power unit, and the kernel's reports.

Register layout (32 bits each; firmware/src/layout.h, ENCLAVE_):

    0x00 STATUS        the status word published by the kernel
    0x08 SENSOR_0      0x0C SENSOR_1, read-only
    0x10 UPLINK_DATA   0x14 UPLINK_COMMIT: 1 sends DATA; reads 1 when the uplink is ready
    0x20 POWER         1 = dormant; powering down clears every register here
    0x30 PHASE         phase << 8 | 0 entered, 1 target state reached
    0x34 CAUSE         0x38 STEP, 0x3C DETAIL: annihilation; only the first cause counts, each step counts once;
                       a DETAIL after the cause, unless it is 0, says what annihilation could not do
    0x40 CYCLE         cycle << 8 | 0 begins, 1 ends
    0x44 WAKE          0 scheduled, 1 woken by the timer, 2 by an external interrupt
    0x48 ARENA_SIZE    0x4C ARENA_BASE: an allocation from the host arena
    0x50 CALL_ARGUMENT 0x54 CALL, 0x58 CALL_RESULT: a host call without a coprocessor
    0x5C GUEST_VALUE   0x60 GUEST: payload << 16 | number << 8 | what the kernel did
                       1 validated it, 2 rejected it (number: reason; value: byte offset), 3 made its guest (value:
                       bytes of linear memory), 4 destroyed the guest, 5 met a trap (number: which),
                       6 refused its signatures (number: the check that failed)
"""

from collections.abc import Callable
from enum import IntEnum
from typing import TypeVar

from enclave_sim import events
from enclave_sim.errors import KernelDied
from enclave_sim.payload.errors import PayloadCheck
from enclave_sim.specification import Cause, HostFunction, Phase, Step, describe_detail
from firmware import Firmware
from machine.bus.bus import Device
from machine.devices.apic.local_apic import LocalApic
from machine.journal import Journal

ADDRESS = 0xFEF0_0000
STATUS, SENSOR_0, SENSOR_1 = 0x00, 0x08, 0x0C
UPLINK_DATA, UPLINK_COMMIT, POWER = 0x10, 0x14, 0x20
PHASE, CAUSE, STEP, DETAIL = 0x30, 0x34, 0x38, 0x3C
CYCLE, WAKE, ARENA_SIZE, ARENA_BASE = 0x40, 0x44, 0x48, 0x4C
CALL_ARGUMENT, CALL, CALL_RESULT = 0x50, 0x54, 0x58
GUEST_VALUE, GUEST = 0x5C, 0x60
_DORMANT = 1
_VALIDATED, _REJECTED, _MADE, _DESTROYED, _TRAPPED, _REFUSED = range(1, 7)
_Reported = TypeVar("_Reported", bound=IntEnum)


class EnclaveBlock(Device):
    """Turns the kernel's reports into events, and keeps state for others.

    Raises KernelDied for an impossible report: a kernel with damaged memory may write anything.
    """

    STATE = (
        "sensors",
        "uplink_ready",
        "_tampered",
        "_latched",
        "_called",
        "_cycle",
        "status",
        "phase",
        "cause",
        "detail",
        "steps",
        "dormant",
    )
    WIRING = ("_emit", "_apic", "_raise_nmi", "_on_target_state_reached", "_actions", "_kernel")

    def __init__(
        self,
        journal: Journal,
        apic: LocalApic,
        sensors: tuple[int, int],
        kernel: Firmware,
        raise_nmi: Callable[[], None],
    ) -> None:
        super().__init__()
        self._kernel = kernel
        self._emit = journal.emit
        self._apic = apic
        self.sensors = list(sensors)
        """The values of the sensor registers."""
        self.uplink_ready = True
        self._raise_nmi = raise_nmi
        self._tampered = False
        self._on_target_state_reached: Callable[[Phase], None] = lambda _phase: None
        self._latched: dict[int, int] = {}
        self._called = self._cycle = 0
        self.status = 0
        self.phase: Phase | None = None
        self.cause: Cause | None = None
        self.detail = 0
        self.steps: list[Step] = []
        self.dormant = False
        self._actions: dict[int, Callable[[int], None]] = {
            STATUS: self._publish,
            UPLINK_COMMIT: self._commit,
            POWER: self._power,
            PHASE: self._report_phase,
            CAUSE: self._report_cause,
            STEP: self._report_step,
            DETAIL: self._report_detail,
            CYCLE: self._report_cycle,
            WAKE: self._report_wake,
            ARENA_BASE: self._report_allocation,
            CALL: self._report_call,
            CALL_RESULT: self._report_result,
            GUEST: self._report_guest,
        }

    def on_target_state_reached(self, action: Callable[[Phase], None]) -> None:
        """Call `action` with each phase that has just reached its target state."""
        self._on_target_state_reached = action

    def tamper(self) -> None:
        """Pull the tamper line: an NMI once the kernel can take one, unless annihilation has already begun."""
        if self.phase is None:
            self._tampered = True
        elif self.cause is None:
            self._raise_nmi()

    def read(self, offset: int, size: int) -> int:  # noqa: ARG002
        """Return STATUS, a sensor or UPLINK_COMMIT; the other registers are write-only and read as 0."""
        return {
            STATUS: self.status,
            SENSOR_0: self.sensors[0],
            SENSOR_1: self.sensors[1],
            UPLINK_COMMIT: int(self.uplink_ready and not self.dormant),
        }.get(offset, 0)

    def write(self, offset: int, size: int, value: int) -> None:  # noqa: ARG002
        """Latch the value, and act on it if the register has an effect."""
        value &= 0xFFFF_FFFF
        action = self._actions.get(offset)
        if action is None:
            self._latched[offset] = value
        else:
            action(value)

    def _publish(self, value: int) -> None:
        self.status = value

    def _commit(self, value: int) -> None:
        if value == 1:
            self._emit(events.SignalEmitted, self._latched.get(UPLINK_DATA, 0))

    def _power(self, value: int) -> None:
        if value == _DORMANT and not self.dormant:
            self._report_step(Step.A7)
            self.dormant = True
            self.status = 0
            self._latched.clear()

    def _report_phase(self, value: int) -> None:
        phase, reached = _meant(Phase, value >> 8), value & 1
        if not reached:
            self.phase = phase
            self._emit(events.PhaseEntered, phase.name)
            if self._tampered:
                self._tampered = False
                self.tamper()
        else:
            if phase is not self.phase:
                raise KernelDied(f"the kernel reported the end of {phase.name}, which it is not in")
            self._emit(events.PhaseCompleted, phase.name, phase.target_state, self.status)
            self._on_target_state_reached(phase)

    def _report_cause(self, value: int) -> None:
        if self.cause is not None:
            return
        self.cause, self.detail = _meant(Cause, value), self._latched.get(DETAIL, 0)
        words = describe_detail(self.cause, self.detail)
        self._emit(events.AnnihilationBegan, self.cause.name, self.detail, words)

    def _report_detail(self, value: int) -> None:
        self._latched[DETAIL] = value
        if self.cause is not None and value and not self.dormant:
            self._emit(events.AnnihilationFlawed, value, describe_detail(Cause.KERNEL_FAULT, value))

    def _report_step(self, value: int) -> None:
        step = _meant(Step, value)
        if step in self.steps:
            return
        self.steps.append(step)
        self._emit(events.AnnihilationStep, step.name, step.meaning)

    def _report_cycle(self, value: int) -> None:
        self._cycle = value >> 8
        self._emit(events.CycleEnded if value & 1 else events.CycleBegan, self._cycle)

    def _report_wake(self, value: int) -> None:
        if value == 0:
            if self._apic.deadline_ns is None:
                raise KernelDied("the kernel reported a wake, and its timer is not armed")
            self._emit(events.WakeScheduled, self._apic.deadline_ns)
        elif value == 1:
            deadline = self._apic.fired_ns
            if deadline is None:
                raise KernelDied("the kernel reported a timer that never fired")
            self._emit(events.Woken, "timer", deadline, self._apic.acknowledged_ns - deadline)
        else:
            self._emit(events.Woken, "external", None, None)

    def _report_allocation(self, value: int) -> None:
        self._emit(events.ArenaAllocated, value, self._latched.get(ARENA_SIZE, 0))

    def _report_call(self, value: int) -> None:
        self._called = value
        name = _meant(HostFunction, value).name.lower()
        self._emit(events.HostCalled, value, name, self._latched.get(CALL_ARGUMENT, 0))

    def _report_result(self, value: int) -> None:
        self._emit(events.HostReturned, self._called, value)

    def _report_guest(self, value: int) -> None:
        payload, number, what = value >> 16, value >> 8 & 0xFF, value & 0xFF
        extra = self._latched.get(GUEST_VALUE, 0)
        words = self._kernel.description
        reasons, traps, checks = words.reasons, words.traps, words.checks
        if what == _VALIDATED:
            self._emit(events.PayloadCompiled, payload, False)
        elif what == _REJECTED and number < len(reasons):
            message = f"the module is refused: {reasons[number]}, at byte {extra}"
            self._emit(events.PayloadRejected, payload, PayloadCheck.PROFILE.name, message)
        elif what == _MADE:
            self._emit(events.GuestInstantiated, payload, self._cycle, extra)
        elif what == _DESTROYED:
            self._emit(events.GuestDestroyed)
        elif what == _TRAPPED and number < len(traps):
            self._emit(events.GuestTrapped, *traps[number])
        elif what == _REFUSED and 0 < number < len(checks):
            check = PayloadCheck[checks[number]]
            message = f"the kernel does not find that {check.value}"
            self._emit(events.PayloadRejected, payload, check.name, message)
        else:
            raise KernelDied(f"the kernel reported {value:#x} of a guest, which means nothing")


def _meant(kind: type[_Reported], value: int) -> _Reported:
    """Return the member with a reported number."""
    try:
        return kind(value)
    except ValueError:
        raise KernelDied(f"the kernel reported {kind.__name__} {value:#x}, which does not exist") from None
