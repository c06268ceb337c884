"""The running enclave: configuration, machine and devices, guests, verifier and inputs."""

from typing import TYPE_CHECKING

from enclave_sim._lazy import lazily

if TYPE_CHECKING:
    from enclave_sim.enclave.configuration import EnclaveConfiguration as EnclaveConfiguration
    from enclave_sim.enclave.enclave import Enclave as Enclave
    from enclave_sim.enclave.host_limit import HostLimit as HostLimit

_HOMES = {"Enclave": "enclave", "EnclaveConfiguration": "configuration", "HostLimit": "host_limit"}
__all__ = sorted(_HOMES)  # noqa: PLE0605 - the keys are strings
__getattr__ = lazily(__name__, _HOMES)
