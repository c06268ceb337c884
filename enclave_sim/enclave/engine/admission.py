"""The boot's checks of a payload and their virtual time, without a machine."""

from collections.abc import Iterable

import msgspec

from enclave_sim.enclave.engine.aether_host import COMPILE_NS_PER_BYTE, VERIFY_NS_PER_BYTE
from enclave_sim.enclave.engine.contract import HeapWindow
from enclave_sim.enclave.engine.profile import GuestProfile
from enclave_sim.enclave.engine.wasmtime_engine import WasmtimeEngine
from enclave_sim.enclave.engine.wasmtime_settings import GUARD_BYTES, RESERVATION_BYTES
from enclave_sim.payload import artefact, signature
from enclave_sim.payload.keys import TrustAnchor
from machine.bus.host_memory import HostMemory


class Admission(msgspec.Struct, frozen=True):
    """A payload that passed every check."""

    verified: signature.VerifiedPayload
    ahead_of_time: bool
    """True if its code was compiled ahead of time."""
    verify_ns: int
    """Virtual time of its verification in the boot, in ns."""
    compile_ns: int
    """Virtual time of its compilation in the boot, in ns."""


def admit(staged: bytes, anchors: Iterable[TrustAnchor], profile: GuestProfile, *, production: bool) -> Admission:
    """Make AetherHost's checks of a payload (`AetherHost.verify` and `compile`), in the same order.

    The code is compiled or loaded, as in a boot on this host. Raises PayloadRejected.

    Args:
        staged: The signed module.
        anchors: The trust anchors of the run.
        profile: The run's profile.
        production: Refuse development keys.

    Returns:
        The findings.
    """
    verified = signature.verify(staged, tuple(anchors), production=production)
    module, code = artefact.split(verified.content)
    memory = HostMemory(profile.max_heap_bytes, RESERVATION_BYTES + GUARD_BYTES)
    engine = WasmtimeEngine(HeapWindow(memory.address, memory.size, memory.reserve), profile)
    if code is None:
        engine.admit(module, None)
    else:
        engine.admit(module, code.code, code.fingerprint)
    compile_ns = 0 if code is not None else len(module) * COMPILE_NS_PER_BYTE
    return Admission(verified, code is not None, len(staged) * VERIFY_NS_PER_BYTE, compile_ns)
