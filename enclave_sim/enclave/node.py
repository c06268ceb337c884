"""The node of an enclave: the machine, the enclave's own devices, its TPM, and AetherHost with its engine."""

from enclave_sim import events
from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.attester import tpm_events
from enclave_sim.enclave.attester.contract import Verifier
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.enclave.devices import enclave_block, mailbox
from enclave_sim.enclave.engine.aether_host import AetherHost, HostedEngine
from enclave_sim.enclave.engine.contract import HeapWindow
from enclave_sim.enclave.engine.gate_coprocessor import GateCoprocessor
from enclave_sim.memory_map import region, region_at
from enclave_sim.specification import EngineName, Phase
from machine.events import Recorder
from machine.machine import Machine, MachineConfiguration
from machine.tpm.backend import TpmBackend

_GUARD_BYTES = 9 << 30
"""Inaccessible address space after RAM: the 4 GiB range of WebAssembly offsets, twice, and guards."""


class Node:
    """All parts, connected; nothing is loaded yet."""

    def __init__(
        self,
        configuration: EnclaveConfiguration,
        recorder: Recorder,
        *,
        tpm: TpmBackend,
        verifier: Verifier,
        portable: bool,
        cancellation: Cancellation,
    ) -> None:
        end = region("heap").end
        machine = self.machine = Machine(
            MachineConfiguration(end, configuration.ns_per_instruction, _GUARD_BYTES, portable), recorder
        )
        self.block = enclave_block.EnclaveBlock(
            machine.journal,
            machine.local_apic,
            configuration.sensors,
            configuration.kernel,
            machine.request_nmi,
        )
        machine.bus.attach_memory(self.block, enclave_block.ADDRESS)
        machine.scrub_engine.on_fill = self._scrubbed
        self.port = tpm_events.attach(machine, tpm, verifier)
        self.host: AetherHost | None = None
        """The VMM; None for a flat guest."""
        self.gate: GateCoprocessor | None = None
        if configuration.engine is EngineName.WASMTIME:
            self._attach_wasmtime(configuration, cancellation, portable=portable)
        elif configuration.engine is EngineName.RESIDENT:
            from enclave_sim.enclave.engine.resident_engine import ResidentEngine  # noqa: PLC0415 - slow to import

            self._attach_host(configuration, ResidentEngine(machine.ram, configuration.kernel.symbols))

    def _attach_host(self, configuration: EnclaveConfiguration, engine: HostedEngine) -> None:
        """Attach AetherHost to its mailbox."""
        machine = self.machine
        self.host = AetherHost(
            machine.ram,
            machine.clock,
            machine.journal,
            engine,
            verification=configuration.verify,
            production=configuration.production,
        )
        machine.bus.attach_memory(mailbox.Mailbox(self.host), mailbox.ADDRESS)

    def _attach_wasmtime(
        self, configuration: EnclaveConfiguration, cancellation: Cancellation, *, portable: bool
    ) -> None:
        """Attach AetherHost, and the coprocessor that runs its guests."""
        from enclave_sim.enclave.engine.profile import GuestProfile  # noqa: PLC0415 - wasmtime takes 60 ms to import
        from enclave_sim.enclave.engine.wasmtime_engine import WasmtimeEngine  # noqa: PLC0415

        machine, heap = self.machine, region("heap")
        window = HeapWindow(machine.ram.lend(heap.base, heap.size), heap.size, machine.ram.reserve)
        profile = GuestProfile(heap.size, configuration.features)
        engine = WasmtimeEngine(window, profile, cancellation, portable=portable)
        self._attach_host(configuration, engine)
        gate = configuration.kernel.symbols["gate"]
        machine.coprocessor = self.gate = GateCoprocessor(gate, engine, machine.clock, machine.journal)

    def _scrubbed(self, base: int, size: int, verified: bool) -> None:
        where = region_at(base)
        name = where.name if where is not None else "unmapped"
        cause = self._scrub_cause(name, whole=where is not None and size == where.size)
        self.machine.journal.emit(events.Scrubbed, name, base, size, cause, verified)

    def _scrub_cause(self, name: str, *, whole: bool) -> str:
        if self.block.cause is not None:
            return "annihilation"
        if self.block.phase is not Phase.EXEC_LOOP:
            return "boot"
        if whole:
            return "cycle"
        return {"call_stack": "host_call", "irq_stack": "interrupt"}.get(name, "cycle")
