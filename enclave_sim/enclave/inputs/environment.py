"""The environment of an enclave: applies each input when it is due."""

import hashlib
from collections.abc import Iterable

import firmware
from enclave_sim import events
from enclave_sim.enclave.devices.enclave_block import EnclaveBlock
from enclave_sim.enclave.engine.aether_host import AetherHost
from enclave_sim.enclave.inputs import hardware_faults
from enclave_sim.enclave.inputs.schedule import Schedule
from enclave_sim.errors import ConfigurationError
from enclave_sim.inputs import (
    AnyInput,
    ExternalInterrupt,
    GuestReplaced,
    HardwareFault,
    MemoryFault,
    MemoryWrite,
    RegisterWrite,
    SensorValue,
    Tamper,
    UplinkReady,
    kind_of,
)
from enclave_sim.memory_map import region
from enclave_sim.specification import Phase
from machine.bus.writer import INPUT
from machine.events import Event
from machine.machine import Machine
from machine.state import Stateful


class Environment(Stateful):
    """The environment of one enclave.

    `host` is its VMM, if any, which manages guests; `payloads` is the number of payloads.
    """

    PARTS = ("_schedule",)
    WIRING = ("_machine", "_block", "_host", "_payloads")

    def __init__(
        self, machine: Machine, block: EnclaveBlock, host: AetherHost | None, payloads: int, schedule: Schedule
    ) -> None:
        self._machine = machine
        self._block = block
        self._host = host
        self._payloads = payloads
        self._schedule = schedule
        schedule.on_due = machine.request_stop  # the run loop then continues up to the new next input

    def schedule(self, inputs: Iterable[AnyInput], events: Iterable[Event], start_ns: int) -> None:
        """Replace the schedule; see `Schedule.begin`."""
        self._schedule.begin(inputs, events, start_ns)

    @property
    def next_ns(self) -> int | None:
        """Virtual time of the next input, as far as known."""
        return self._schedule.next_ns

    def take_next(self) -> None:
        """Apply the next input, which is due."""
        due_ns, one = self._schedule.take_next()
        self.take(one, due_ns)

    def take(self, one: AnyInput, scheduled_ns: int | None = None) -> None:
        """Apply an input now. See `Enclave.replace_guest` for the errors."""
        machine, emit = self._machine, self._machine.journal.emit
        memory_bytes = self._replace(one.payload, one.code) if isinstance(one, GuestReplaced) else 0
        match one:
            case ExternalInterrupt():
                machine.request_interrupt(firmware.layout()["VECTOR_EXTERNAL"])
            case Tamper():
                self._block.tamper()
            case SensorValue():
                self._block.sensors[one.sensor] = one.value
            case UplinkReady():
                self._block.uplink_ready = one.ready
            case MemoryFault():
                flipped = machine.ram.read(one.address, 1)[0] ^ one.bits
                machine.ram.write(one.address, bytes([flipped]), INPUT)
                # Otherwise the content of the TLB would depend on earlier restores.
                machine.cpu.engine.paging.flush_tlb()
            case HardwareFault():
                hardware_faults.apply(machine, one)
            case MemoryWrite() | RegisterWrite():
                from enclave_sim.enclave.inputs.debugger_writes import write  # noqa: PLC0415 - rare

                write(machine, one)
        machine.clock.timeless_steps += 1
        emit(events.InputTaken, kind_of(one), scheduled_ns, one if scheduled_ns is None else None)
        if isinstance(one, HardwareFault):
            hardware_faults.pass_time(machine, one)
        if isinstance(one, GuestReplaced):
            emit(events.GuestReplaced, one.payload, hashlib.sha256(one.code).hexdigest(), memory_bytes)

    def _replace(self, payload: int, code: bytes) -> int:
        """Replace the guest of a payload. Return the size of the new guest's memory in bytes."""
        if self._block.phase is not Phase.EXEC_LOOP or self._block.cause is not None:
            raise ConfigurationError("a guest can be replaced while the enclave is in EXEC_LOOP")
        if not 0 <= payload < self._payloads:
            raise ConfigurationError(f"there is no payload {payload}; there are 0 to {self._payloads - 1}")
        if self._host is not None:
            return self._host.replace(payload, code)
        staging, ram = region("staging"), self._machine.ram
        if not 0 < len(code) <= staging.size:
            raise ConfigurationError(f"a flat guest has 1 to {staging.size} bytes, not {len(code)}")
        ram.zero(staging.base, staging.size, INPUT)
        ram.write(staging.base, code, INPUT)
        return region("heap").size
