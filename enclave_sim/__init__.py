"""Enclave Sim: a bit-deterministic full-system emulator of the Aether Enclave.

Start with `Enclave`: boot it, run it to a phase or to the end, read its recording. Names are loaded when first used, so
that importing the package takes no time.
"""

from typing import TYPE_CHECKING

from enclave_sim._lazy import lazily

if TYPE_CHECKING:
    from enclave_sim.enclave.configuration import EnclaveConfiguration as EnclaveConfiguration
    from enclave_sim.enclave.enclave import Enclave as Enclave
    from enclave_sim.errors import ConfigurationError as ConfigurationError
    from enclave_sim.errors import EnclaveError as EnclaveError
    from enclave_sim.recording.outcome.summary import RunResult as RunResult
    from enclave_sim.recording.recording import Recording as Recording
    from enclave_sim.specification import Attestation as Attestation
    from enclave_sim.specification import Cause as Cause
    from enclave_sim.specification import Phase as Phase
    from enclave_sim.specification import Status as Status
    from enclave_sim.time_travel.template import Template as Template

_HOMES = {
    "Attestation": "specification",
    "Cause": "specification",
    "ConfigurationError": "errors",
    "Enclave": "enclave.enclave",
    "EnclaveConfiguration": "enclave.configuration",
    "EnclaveError": "errors",
    "Phase": "specification",
    "Recording": "recording.recording",
    "RunResult": "recording.outcome.summary",
    "Status": "specification",
    "Template": "time_travel.template",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605 - the keys are strings
__getattr__ = lazily(__name__, _HOMES)
