"""Trials: scenarios of all kinds, and for each with a secret the same scenario with another secret."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import firmware
from enclave_sim import Phase
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.guarantees import Scenario, ShortLived
from enclave_sim.inputs import (
    AfterEvent,
    AnyInput,
    ExternalInterrupt,
    GuestReplaced,
    HardwareFault,
    MemoryFault,
    MemoryWrite,
    Tamper,
)
from enclave_sim.memory_map import region
from payloads import read_flat
from tests.mutants import guests

_LIMIT_NS = 100_000_000
_SECRETS = 7, 41
_BUILT_IN_SECRET = (0x5EC2_E75E_C2E7_5EC2).to_bytes(8, "little")


_ALTERED = MemoryFault(at_ns=200_000, address=region("staging").base + 1, bits=1)
"""A flat payload is changed after loading and before it is measured."""


@dataclass(frozen=True)
class Trial:
    """One scenario, or two that differ only in the guest's secret. Such a guest replaces the payload once the enclave
    has booted, so that nothing else differs.
    """

    payload: Any
    options: EnclaveOptions = field(default_factory=EnclaveOptions)
    guest: Callable[[int], bytes] | None = None
    inputs: tuple[AnyInput, ...] = ()
    promises: tuple[ShortLived, ...] = ()
    """Secrets that must be short-lived."""

    def scenarios(self, kernel: firmware.Firmware | None = None) -> list[Scenario]:
        """One or two, of an enclave that boots this kernel. The time of replacement is taken from that enclave."""
        options = self.options.with_configuration(firmware=kernel)
        if self.guest is None:
            return [self._scenario(options, self.inputs)]
        booted = options.enclave(self.payload)
        booted.run_to(Phase.EXEC_LOOP)
        at_ns = booted.machine.clock.now_ns
        replaced = (GuestReplaced(at_ns=at_ns, payload=0, code=self.guest(secret)) for secret in _SECRETS)
        return [self._scenario(options, [first, *self.inputs]) for first in replaced]

    def _scenario(self, options: EnclaveOptions, inputs: Iterable[AnyInput]) -> Scenario:
        return Scenario(self.payload, options, tuple(inputs), _LIMIT_NS)


def _wasm(payload: Any, guest: Callable[[int], bytes] | None = None, **options: Any) -> Trial:
    return Trial(payload, EnclaveOptions.of(**{"wake_ns": 50_000, **options}), guest)


def _flat(payload: str = "quitter", guest: Callable[[int], bytes] | None = None, **options: Any) -> Trial:
    return Trial(payload, EnclaveOptions.of(engine="native", wake_ns=50_000, **options), guest)


def _built_in(name: str) -> Callable[[int], bytes]:
    """A built-in flat payload with another secret."""
    return lambda secret: read_flat(name).replace(_BUILT_IN_SECRET, bytes(range(secret, secret + 8)))


def _interrupted(trial: Trial) -> Trial:
    """With occasional external interrupts."""
    inputs = tuple(ExternalInterrupt(at_ns=at_ns) for at_ns in range(100_000, 2_000_000, 70_001))
    return Trial(trial.payload, trial.options, trial.guest, inputs)


_LOG_EDITED = MemoryFault(
    at_ns=0,
    after=AfterEvent("pcr_extended", {"pcr": 13}),
    address=firmware.built_in().symbols["event_log"] + 80,
    bits=1,
)
"""A digest in the log is changed before the first quote."""

_MARKED = MemoryWrite(
    at_ns=0,
    after=AfterEvent("ring_transition", {"to_ring": 3}),
    address=region("heap").base + 0x1000,
    data="5ec2e75ec2e75ec201020304",
)
"""A secret of the first guest, in its heap."""

_EARLY_NMI = HardwareFault(at_ns=500, part="interrupt", effect="raise", value=2)
"""A non-maskable interrupt while the kernel is still in 32-bit code."""
_TPM_ERROR = HardwareFault(at_ns=0, after=AfterEvent("annihilation_began"), part="tpm", effect="error", value=0x101)
"""The TPM's next command fails: to cap the runtime PCR."""
_SHORT_IDT = HardwareFault(at_ns=200_000, part="idtr_limit", effect="flip", value=1 << 10)
"""In MEM_MAP, a bit of the limit of the IDT is inverted."""


TRIALS = {
    "required": _wasm("counter", cycles=2, attestation="require"),
    "edited log": Trial("counter", EnclaveOptions.of(attestation="require"), inputs=(_LOG_EDITED,)),
    "counter": _wasm("counter", cycles=3),
    "trespasser": _wasm("trespasser"),
    "abyss": _wasm("abyss"),
    "turns": _wasm(("counter", "greedy"), cycles=4),
    "rower": _wasm("counter", guests.rower, cycles=2, quantum_ns=20_000),
    "settler": _wasm("counter", guests.settler, cycles=2),
    "returner": _wasm("counter", guests.returner, cycles=3),
    "resident": _wasm("counter", guests.hoarder, engine="resident", cycles=3, quantum_ns=2_000),
    "resident constant": _wasm("counter", guests.settler, engine="resident", cycles=2),
    "tampered": Trial("counter", inputs=(Tamper(at_ns=200_000),)),
    "early NMI": Trial("counter", inputs=(_EARLY_NMI,)),
    "TPM error": Trial("counter", inputs=(_TPM_ERROR,)),
    "short IDT": Trial("counter", EnclaveOptions.of(wake_ns=50_000, cycles=2), inputs=(_SHORT_IDT,)),
    "forged Ed25519": _wasm(guests.forged(0)),
    "forged ML-DSA-65": _wasm(guests.forged(1)),
    "forged Ed25519, by the kernel": _wasm(guests.forged(0), verify="firmware"),
    "forged ML-DSA-65, by the kernel": _wasm(guests.forged(1), verify="firmware"),
    "short sleeps": _wasm("beacon", cycles=6, wake_ns=1_000),
    "long sleeps": _wasm("beacon", cycles=6, wake_ns=333_333),
    "interrupted sleeps": _interrupted(_wasm("beacon", cycles=12, wake_ns=200_000)),
    "surveyor": _flat(guest=_built_in("surveyor"), cycles=3),
    "runner": _flat(guest=_built_in("runner"), cycles=2, quantum_ns=20_000),
    "interrupted runner": _interrupted(_flat(guest=_built_in("runner"), cycles=2, quantum_ns=30_000)),
    "altered": Trial("quitter", EnclaveOptions.of(engine="native"), inputs=(_ALTERED,)),
    "stray": _flat("stray"),
    "vandal": _flat("vandal"),
    "usurper": _flat("usurper"),
    "forger": _flat("forger"),
    "smuggler": _flat("smuggler"),
    "marked": Trial(
        bytes.fromhex("b803000000 cd80"),  # mov eax, 3; int 80h: it returns
        EnclaveOptions.of(engine="native", wake_ns=50_000, cycles=3),
        inputs=(_MARKED,),
        promises=(ShortLived("input", within_ns=100_000, only_in=("heap",)),),
    ),
    "keeper": _flat(guest=guests.keeper, cycles=3),
    "failure": _flat(guest=guests.failure),
    "shredder": _flat(guest=guests.shredder),
    "herald": _flat(guest=guests.herald, cycles=2),
    "chatterer": _flat(guest=guests.chatterer, cycles=2, quantum_ns=1_000),
    "porter": _flat(guest=guests.porter),
    "registrar": _flat(guest=guests.registrar),
    "stepper": _flat(guest=guests.stepper),
    "aligner": _flat(guest=guests.aligner, cycles=2),
}
