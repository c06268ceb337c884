"""The options of one enclave, typed: its configuration, and replacements for built-in parts.

EnclaveOptions.of(cycles=3, portable=True).enclave("counter").run()

The emulator is imported only when an enclave is made.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from enclave_sim.enclave.configuration import EnclaveConfiguration, PayloadSource, configured
from enclave_sim.payload.keys import TrustAnchor

if TYPE_CHECKING:
    from enclave_sim.attestation import ReferenceValues
    from enclave_sim.cancellation import Cancellation
    from enclave_sim.enclave.attester.contract import Verifier
    from enclave_sim.enclave.enclave import Enclave
    from enclave_sim.inputs import AnyInput
    from enclave_sim.recording.format import Digest
    from enclave_sim.recording.writer import RecordingWriter
    from machine.events import Recorder
    from machine.tpm.backend import TpmBackend


class EnclaveOptions(msgspec.Struct, frozen=True):
    """All arguments of an enclave except its payloads and inputs."""

    configuration: EnclaveConfiguration = msgspec.field(default_factory=EnclaveConfiguration)
    trust_anchors: tuple[TrustAnchor, ...] | None = None
    """The anchors whose signatures are accepted; None for only the development anchor."""
    reference: "ReferenceValues | None" = None
    """The built-in verifier's accepted values; None for those of this enclave."""
    verifier: "Verifier | None" = None
    """Replaces the built-in verifier."""
    tpm: "TpmBackend | None" = None
    """Replaces the TPM model."""
    portable: bool = False
    """Run without native code on the host. Nothing else changes."""

    @classmethod
    def of(
        cls,
        *,
        trust_anchors: Iterable[TrustAnchor] | None = None,
        reference: "ReferenceValues | None" = None,
        verifier: "Verifier | None" = None,
        tpm: "TpmBackend | None" = None,
        portable: bool = False,
        **configuration: Any,
    ) -> "EnclaveOptions":
        """Sort keyword arguments of `Enclave`. Raises ConfigurationError for a value out of range."""
        anchors = None if trust_anchors is None else tuple(trust_anchors)
        others = ("trust_anchors", "reference", "verifier", "tpm", "portable")
        chosen = configured(EnclaveConfiguration(), configuration, others)
        return cls(chosen, anchors, reference, verifier, tpm, portable)

    def with_configuration(self, **changes: Any) -> "EnclaveOptions":
        """Return the same options with changes to the configuration. Raises ConfigurationError as `of` does."""
        return msgspec.structs.replace(self, configuration=configured(self.configuration, changes))

    def enclave(
        self,
        payload: PayloadSource | Sequence[PayloadSource],
        *,
        inputs: "Iterable[AnyInput]" = (),
        recorder: "Recorder | None" = None,
        record: bool = True,
        writer: "RecordingWriter | None" = None,
        digest: "Digest | None" = None,
        cancellation: "Cancellation | None" = None,
    ) -> "Enclave":
        """Make an enclave with these options. The arguments are those of `Enclave`, which documents the errors."""
        from enclave_sim.enclave.enclave import Enclave  # noqa: PLC0415 - unicorn and wasmtime take 100 ms

        return Enclave(
            payload,
            configuration=self.configuration,
            trust_anchors=self.trust_anchors,
            reference=self.reference,
            verifier=self.verifier,
            tpm=self.tpm,
            portable=self.portable,
            inputs=inputs,
            recorder=recorder,
            record=record,
            writer=writer,
            digest=digest,
            cancellation=cancellation,
        )
