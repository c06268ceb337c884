"""The parts of one enclave: created from its options, connected, and loaded."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from enclave_sim.attestation import ECDSA_P256, ML_DSA_65, Policy, ReferenceValues
from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.attester import tpm_events
from enclave_sim.enclave.attester.built_in import BuiltInVerifier
from enclave_sim.enclave.attester.contract import Verifier
from enclave_sim.enclave.attester.expected_measurements import reference_values_for
from enclave_sim.enclave.configuration import EnclaveConfiguration, PayloadSource, read_payloads
from enclave_sim.enclave.enclave_loop import EnclaveLoop
from enclave_sim.enclave.header import header_of
from enclave_sim.enclave.inputs.environment import Environment
from enclave_sim.enclave.inputs.schedule import Schedule
from enclave_sim.enclave.loading import load_kernel
from enclave_sim.enclave.node import Node
from enclave_sim.enclave.recorders import Outlets, Recorders
from enclave_sim.inputs import AnyInput
from enclave_sim.payload import anchor_list
from enclave_sim.payload.keys import TrustAnchor, development_anchor
from machine.tpm.backend import TpmBackend
from machine.tpm.model import TpmModel

if TYPE_CHECKING:
    from enclave_sim.enclave.memory_trace import MemoryTrace


class Assembly:
    """All parts of an enclave. Nothing has run yet."""

    def __init__(
        self,
        configuration: EnclaveConfiguration,
        payload: PayloadSource | Sequence[PayloadSource],
        inputs: Iterable[AnyInput],
        outlets: Outlets,
        cancellation: Cancellation,
        *,
        trust_anchors: Sequence[TrustAnchor] | None,
        reference: ReferenceValues | None,
        verifier: Verifier | None,
        tpm: TpmBackend | None,
        portable: bool,
    ) -> None:
        given = [development_anchor()] if trust_anchors is None else trust_anchors
        # By name, so that the header does not depend on the order of the arguments.
        self.anchors = tuple(sorted(given, key=lambda anchor: anchor.label))
        packed = None if configuration.engine.is_flat else anchor_list.pack(self.anchors)
        self.payloads = read_payloads(payload, configuration.engine, packed or b"")
        seed = tpm_events.tpm_seed(configuration.tpm_seed)
        self.tpm = tpm or TpmModel(seed, configuration.tpm_resets)
        policy = Policy(frozenset({ECDSA_P256, ML_DSA_65} if configuration.post_quantum else {ECDSA_P256}))
        verifier = verifier or BuiltInVerifier(reference, self.reference_values, policy, seed)
        header = header_of(
            configuration,
            self.anchors,
            self.payloads,
            inputs,
            built_in_tpm=tpm is None,
            built_in_verifier=verifier.built_in,
        )
        self.recorders = Recorders(header, outlets)
        schedule = Schedule(header.inputs)
        self.node = Node(
            configuration,
            self.recorders.tee(schedule),
            tpm=self.tpm,
            verifier=verifier,
            portable=portable,
            cancellation=cancellation,
        )
        machine, block, host = self.node.machine, self.node.block, self.node.host
        self.loaded, self._measured = load_kernel(machine, configuration, self.payloads, packed)
        self.trace = self._memory_trace(configuration)
        """The memory trace, if the configuration names a region."""
        self.environment = Environment(machine, block, host, len(self.payloads), schedule)
        self.loop = EnclaveLoop(
            machine, block, self.environment, self.recorders.summary, own_kernel=configuration.firmware is not None
        )

    def _memory_trace(self, configuration: EnclaveConfiguration) -> "MemoryTrace | None":
        """Return the trace of a region, if there is one. Few runs need its modules, and the kernel's symbols."""
        name = configuration.trace_memory
        if name is None:
            return None
        from enclave_sim.enclave.kernel.program import aether  # noqa: PLC0415
        from enclave_sim.enclave.memory_trace import MemoryTrace  # noqa: PLC0415

        return MemoryTrace(name, self.node, aether(configuration.kernel))

    def reference_values(self) -> ReferenceValues:
        """Return the values with which a verifier accepts this enclave; see `Enclave.reference_values`."""
        return reference_values_for(self._measured, self.tpm)
