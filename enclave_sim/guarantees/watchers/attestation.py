"""Attested: everything was measured before its use, and no cycle began without good evidence.

This is checked independently of the kernel and of the run's verifier: evidence is verified again, against reference
values derived from the enclave's inputs, and the required measurements are counted at the end of each phase.
"""

from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from enclave_sim import events
from enclave_sim.attestation import ECDSA_P256, ML_DSA_65, Challenge, Policy, Position, ReferenceValues, Verdict, verify
from enclave_sim.guarantees.watchers.watcher import Watcher
from enclave_sim.specification import Attestation, Phase, Step
from machine.events import RingTransition

if TYPE_CHECKING:
    from enclave_sim.enclave.enclave import Enclave

_LOADER, _KERNEL, _CONFIGURATION, _PAYLOADS, _ANCHORS, _RUNTIME = range(8, 14)
_CAP = sha256(b"AETHER ANNIHILATED").hexdigest()


class AttestationWatcher(Watcher):
    """Checks measurements, quotes and verdicts as they happen."""

    NAME = "attestation"
    STATE = ("_extended", "_last", "_nonce", "_after", "_fault", "_entered")
    WIRING = ("enclave", "_reference")

    def __init__(self) -> None:
        super().__init__()
        self.enclave: Enclave
        self._reference: ReferenceValues | None = None
        self._extended: Counter[int] = Counter()
        self._last: tuple[int, str] | None = None
        """The last extended PCR, and the digest."""
        self._nonce = b""
        self._after: tuple[Position, ...] = ()
        self._fault: str | None = "no quote was shown"
        """The fault of the evidence for the cycle, or None."""
        self._entered = False

    def handlers(self) -> dict[type, Callable[[Any], None]]:
        """See `Watcher`."""
        return {
            events.PcrExtended: self._pcr_extended,
            events.PhaseCompleted: self._phase_completed,
            events.PayloadMeasured: self._payload_measured,
            events.VerifierChallenged: self._challenged,
            events.AttestationDecided: self._decided,
            events.CycleBegan: self._cycle_began,
            events.AnnihilationStep: self._annihilation_step,
            RingTransition: self._ring_changed,
        }

    @property
    def _policy(self) -> Attestation:
        return self.enclave.configuration.attestation

    def _pcr_extended(self, event: events.PcrExtended) -> None:
        self.count("measurements")
        self._extended[event.pcr] += 1
        self._last = (event.pcr, event.sha256)

    def _phase_completed(self, event: events.PhaseCompleted) -> None:
        if self._policy is Attestation.OFF:
            return
        payloads = len(self.enclave.payloads)
        anchors = [] if self.engine.is_flat else [(_ANCHORS, 1)]
        needed = {
            Phase.PROT_ENTRY.name: [(_LOADER, 1), (_KERNEL, 1), (_CONFIGURATION, 1)],
            Phase.WASM_INIT.name: [(_PAYLOADS, payloads), *anchors],
            Phase.EXEC_LOOP.name: [(_RUNTIME, 1)],
        }.get(event.phase, [])
        for pcr, times in needed:
            if self._extended[pcr] != times:
                found = self._extended[pcr]
                self.find(f"{event.phase} ended with {found} measurements in PCR {pcr}, not {times}", event.at_ns)

    def _payload_measured(self, event: events.PayloadMeasured) -> None:
        if self._policy is not Attestation.OFF and self._extended[_PAYLOADS] <= event.payload:
            self.find(f"payload {event.payload} was used before it was measured", event.at_ns)

    def _cycle_began(self, _event: events.CycleBegan) -> None:
        self._fault, self._entered = "no quote was shown", False

    def _challenged(self, event: events.VerifierChallenged) -> None:
        self._nonce = bytes.fromhex(event.nonce)

    def _decided(self, event: events.AttestationDecided) -> None:
        self.count("quotes")
        verdict = self._verdict(event.cycle)
        failures = "; ".join(f"{check.name}: {check.message}" for check in verdict.failures)
        self._fault = failures or None
        if verdict.accepted and verdict.position is not None:
            self._after = (verdict.position,)
        elif event.verdict == "accepted":
            self.find(f"the evidence for cycle {event.cycle} was accepted, but {failures}", event.at_ns)

    def _verdict(self, cycle: int) -> Verdict:
        if self._reference is None:
            self._reference = self.enclave.reference_values()
        evidence = self.enclave.evidence
        assert evidence is not None
        both = self.enclave.configuration.post_quantum
        policy = Policy(frozenset({ECDSA_P256, ML_DSA_65} if both else {ECDSA_P256}))
        return verify(evidence, Challenge(self._nonce, cycle, self._after), self._reference, policy)

    def _ring_changed(self, event: RingTransition) -> None:
        if event.to_ring != 3 or self._entered:
            return
        self._entered = True
        if self._policy is Attestation.REQUIRE and self._fault is not None:
            self.find(f"a cycle was entered although its evidence is not good: {self._fault}", event.at_ns)

    def _annihilation_step(self, event: events.AnnihilationStep) -> None:
        if event.step == Step.A4.name and self._extended and self._last != (_RUNTIME, _CAP):
            self.find("the runtime PCR was not capped: a later quote could claim the active state", event.at_ns)
