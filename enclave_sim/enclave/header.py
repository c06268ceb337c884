"""The header of an enclave's recording: everything that determines the run."""

import hashlib
from collections.abc import Iterable, Sequence

from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.enclave.inputs.validation import ordered
from enclave_sim.inputs import AnyInput
from enclave_sim.memory_map import region
from enclave_sim.payload.keys import TrustAnchor
from enclave_sim.recording.embedded import embedded_anchors, embedded_payloads
from enclave_sim.recording.format import Header

EXTERNAL = "external"
"""The name in a recording's header of a TPM or verifier that does not follow from the configuration."""


def header_of(
    configuration: EnclaveConfiguration,
    anchors: Sequence[TrustAnchor],
    payloads: Sequence[bytes],
    inputs: Iterable[AnyInput],
    *,
    built_in_tpm: bool,
    built_in_verifier: bool,
) -> Header:
    """Return the header of a run. Raises ConfigurationError for an impossible input.

    Args:
        configuration: The options of the enclave.
        anchors: The trust anchors, sorted by label.
        payloads: The payloads, in the order in which they take turns.
        inputs: The inputs, in any order.
        built_in_tpm: The TPM is the model, so a replay can recreate it.
        built_in_verifier: The verifier's answers follow from the configuration, so a replay can repeat them.

    Returns:
        The header, with the inputs in the order of their schedule.
    """
    return Header(
        configuration=configuration.describe(anchors)
        | {"tpm": _origin(built_in_tpm), "verifier": _origin(built_in_verifier)},
        firmware_sha256=configuration.kernel.sha256,
        payload_sha256=tuple(hashlib.sha256(payload).hexdigest() for payload in payloads),
        inputs=ordered(inputs, region("heap").end),
        payloads=embedded_payloads(payloads),
        trust_anchors=embedded_anchors(anchors),
    )


def _origin(built_in: bool) -> str:
    return "built-in" if built_in else EXTERNAL
