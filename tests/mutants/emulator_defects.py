"""Defects of the machine and of AetherHost."""

import ctypes
import time
from typing import Any

from wasmtime import _ffi as ffi

from enclave_sim.enclave.devices.enclave_block import EnclaveBlock
from enclave_sim.enclave.engine import coroutine, linear_memory, wasmtime_engine
from enclave_sim.enclave.engine.aether_host import AetherHost
from enclave_sim.payload import signature
from machine.bus.ram import Ram
from machine.devices.apic.local_apic import LocalApic
from machine.devices.apic.timer import ApicTimer
from machine.devices.engines.scrub_engine import LINE_BYTES, ScrubEngine
from machine.instructions.system import port_permissions
from machine.instructions.system_instructions import SystemInstructions
from machine.interrupts import delivery
from machine.processor.cpu import Cpu
from tests.mutants.defect import (
    ADMITTED,
    DETERMINISTIC,
    ISOLATED,
    JITTER_FREE,
    NON_INTERFERENCE,
    ZERO_TRACE,
    Defect,
    Replacement,
    Several,
)

_verify, _acknowledge, _schedule = AetherHost.verify, LocalApic.acknowledge, ApicTimer._schedule
_run, _enter_64, _saved_flags = ScrubEngine._run, delivery.Delivery._enter_64, delivery.Delivery._saved_flags
_instantiate, _create = wasmtime_engine.WasmtimeEngine.instantiate, linear_memory.LinearMemory.__init__
_power, _gate = EnclaveBlock._power, delivery.Delivery._gate
_KEPT: list[Any] = []


def _nothing(*_arguments: Any) -> None:
    """Does nothing, and finds nothing wrong."""


def _verify_by_the_wall_clock(self: AetherHost, base: int, length: int) -> int:
    self._clock.spend(time.perf_counter_ns() % 1_000_000)
    return _verify(self, base, length)


def _scrub_by_address(self: ScrubEngine, base: int, length: int, *, fill: bool) -> None:
    _KEPT.append(self)  # so that no other is allocated there
    self._clock.spend((id(self) >> 4) % 1_000_003)
    _run(self, base, length, fill=fill)


def _scrub_in_part(self: ScrubEngine, base: int, length: int, *, fill: bool) -> None:
    _run(self, base, length - LINE_BYTES, fill=fill)


def _scrub_without_a_look(self: ScrubEngine, base: int, length: int, *, fill: bool) -> None:
    self._status = 1
    if fill and self.on_fill is not None:
        self.on_fill(base, length, True)


def _acknowledge_late(self: LocalApic) -> int:
    self._clock.spend((self.fired_ns or 0) & 1)
    return _acknowledge(self)


def _schedule_with_drift(self: ApicTimer) -> None:
    _schedule(self)
    if self.deadline_ns is not None:
        self.deadline_ns |= 1


def _deliver_with_a_trace(self: delivery.Delivery, interrupt: delivery.Interrupt) -> None:
    self._cpu.registers.r15 ^= 1
    _enter_64(self, interrupt)


def _lose_flags(self: delivery.Delivery, interrupt: delivery.Interrupt) -> int:
    return _saved_flags(self, interrupt) & ~0x8D5


def _open_gates(self: delivery.Delivery, interrupt: delivery.Interrupt, _ring: int) -> Any:
    return _gate(self, interrupt, 0)


def _any_port(_cpu: Cpu, _port: int, _width: int) -> bool:
    return True


def _anybody(_self: SystemInstructions) -> None:
    """No privilege check."""


def _place_too_low(self: linear_memory.LinearMemory, window: Any) -> None:
    _create(self, type(window)(window.host_address - 0x1000, window.size, window.reserve + 0x1000))


def _keep_latches(self: EnclaveBlock, value: int) -> None:
    latched = dict(self._latched)
    _power(self, value)
    self._latched.update(latched)


def _reuse(self: wasmtime_engine.WasmtimeEngine, payload: int) -> int:
    """Reuse the last cycle's instance, if there is one."""
    if not self._guests or not self._guests[0].over:
        wasmtime_engine._drop_all(self._guests)
        return _instantiate(self, payload)
    guest = self._guests[0]
    guest.over = False
    guest._enter = lambda: _enter_again(guest)  # type: ignore[method-assign]
    return self._payloads[payload][2]


def _enter_again(guest: coroutine.Guest) -> None:
    guest._future = ffi.wasmtime_func_call_async(
        guest._context,
        ctypes.byref(guest._entry),
        guest._values,
        0,
        guest._values,
        0,
        ctypes.byref(guest._trap),
        ctypes.byref(guest._error),
    )
    guest._future_address = ctypes.cast(guest._future, ctypes.c_void_p).value


EMULATOR_DEFECTS = (
    Defect(
        "ed25519-ignored",
        "a payload's Ed25519 signature is not verified",
        Replacement(signature, "_check_ed25519", _nothing),
        ("forged Ed25519",),
        (ADMITTED,),
    ),
    Defect(
        "ml-dsa-ignored",
        "a payload's ML-DSA-65 signature is not verified",
        Replacement(signature, "_check_ml_dsa_65", _nothing),
        ("forged ML-DSA-65",),
        (ADMITTED,),
    ),
    Defect(
        "wall-clock",
        "AetherHost takes its time from the host's clock",
        Replacement(AetherHost, "verify", _verify_by_the_wall_clock),
        ("counter",),
        (DETERMINISTIC,),
    ),
    Defect(
        "host-address",
        "how long a scrub takes depends on an address in the host's memory",
        Replacement(ScrubEngine, "_run", _scrub_by_address),
        ("counter",),
        (DETERMINISTIC,),
    ),
    Defect(
        "scrub-in-part",
        "the scrub engine leaves out the last line of a range",
        Replacement(ScrubEngine, "_run", _scrub_in_part),
        ("keeper", "counter"),
        (ZERO_TRACE,),
    ),
    Defect(
        "scrub-of-nothing",
        "the scrub engine reports success, and does nothing",
        Replacement(ScrubEngine, "_run", _scrub_without_a_look),
        ("counter",),
        (ZERO_TRACE,),
    ),
    Defect(
        "late-interrupts",
        "an interrupt comes 1 ns late when its time is odd",
        Replacement(LocalApic, "acknowledge", _acknowledge_late),
        ("short sleeps", "long sleeps"),
        (JITTER_FREE,),
    ),
    Defect(
        "timer-drifts",
        "the timer counts 1 ns too many when its deadline is even",
        Replacement(ApicTimer, "_schedule", _schedule_with_drift),
        ("short sleeps", "long sleeps"),
        (JITTER_FREE,),
    ),
    Defect(
        "trace-of-delivery",
        "the delivery of an interrupt changes R15",
        Replacement(delivery.Delivery, "_enter_64", _deliver_with_a_trace),
        ("runner",),
        (ZERO_TRACE,),
    ),
    Defect(
        "flags-lost",
        "an interrupt does not save the arithmetic flags",
        Replacement(delivery.Delivery, "_saved_flags", _lose_flags),
        ("runner",),
        (ZERO_TRACE,),
    ),
    Defect(
        "gates-unchecked",
        "the processor does not check the DPL of a gate",
        Replacement(delivery.Delivery, "_gate", _open_gates),
        ("forger",),
        (ISOLATED,),
    ),
    Defect(
        "ports-unchecked",
        "the processor lets ring 3 use any port",
        Replacement(port_permissions, "may_use", _any_port),
        ("porter",),
        (ISOLATED,),
    ),
    Defect(
        "registers-unchecked",
        "the processor lets ring 3 write model-specific registers",
        Replacement(SystemInstructions, "_check_ring_0", _anybody),
        ("registrar",),
        (ISOLATED,),
    ),
    Defect(
        "memory-too-low",
        "linear memory begins one page before the heap",
        Replacement(linear_memory.LinearMemory, "__init__", _place_too_low),
        ("settler",),
        (ISOLATED, ZERO_TRACE),
    ),
    Defect(
        "instance-reused",
        "a cycle reuses the guest of the previous cycle",
        Several(
            (
                Replacement(wasmtime_engine.WasmtimeEngine, "instantiate", _reuse),
                Replacement(wasmtime_engine.WasmtimeEngine, "destroy", _nothing),
            )
        ),
        ("returner",),
        (NON_INTERFERENCE,),
    ),
    Defect(
        "latches-kept",
        "the enclave block keeps its registers when dormant",
        Replacement(EnclaveBlock, "_power", _keep_latches),
        ("herald",),
        (NON_INTERFERENCE,),
    ),
    Defect(
        "ram-kept",
        "RAM zeroes all bytes of a range except the first",
        Replacement(
            Ram,
            "zero",
            lambda self, base, length, _by=None: self._memory.zero(base + 1, length - 1) if length else None,
        ),
        ("counter",),
        (ZERO_TRACE,),
    ),
)
