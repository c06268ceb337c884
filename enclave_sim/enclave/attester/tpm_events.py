"""The attestation devices of an enclave (TPM and attestation port), attached to the machine, and their events."""

from contextlib import suppress
from hashlib import sha256

from enclave_sim import events
from enclave_sim.enclave.attester import attestation_port
from enclave_sim.enclave.attester.contract import Verifier
from machine.machine import Machine
from machine.tpm import messages
from machine.tpm.backend import TpmBackend
from machine.tpm.buffers import TpmError
from machine.tpm.constants import Alg, Code, Rc

MEASURED = {
    8: "loader information",
    9: "kernel image",
    10: "configuration",
    11: "payload",
    12: "trust anchors",
    13: "runtime state",
}
"""The meaning of each platform configuration register that the kernel extends; docs/attestation.md."""
_ALGORITHMS: dict[int, str] = {Alg.ECDSA: "ecdsa-p256", Alg.MLDSA: "ml-dsa-65"}


def tpm_seed(text: str) -> bytes:
    """Return the seed of the TPM model for the text in a configuration."""
    return sha256(b"Enclave Sim TPM model: " + text.encode()).digest()


def attach(machine: Machine, tpm: TpmBackend, verifier: Verifier) -> attestation_port.AttestationPort:
    """Attach both devices to the bus, and record an event for each relevant TPM command."""
    crb = machine.chipset.attach_tpm(tpm)
    crb.on_command = _Commands(machine).seen
    port = attestation_port.AttestationPort(machine.ram, machine.journal, verifier)
    machine.bus.attach_memory(port, attestation_port.ADDRESS)
    return port


class _Commands:
    """Reads commands and responses (TPM 2.0 Library, part 3)."""

    def __init__(self, machine: Machine) -> None:
        self._emit = machine.journal.emit

    def seen(self, command: bytes, response: bytes) -> None:
        """Record a command that the TPM has answered. An answer that is not a TPM response is left to the kernel."""
        if len(response) < messages.HEADER_BYTES:
            return
        code, answer = messages.Header.of(command).code, messages.Header.of(response).code
        if answer != Rc.SUCCESS:
            self._emit(events.TpmCommandFailed, code, answer)
        elif code == Code.PCR_EXTEND:
            pcr, digest = messages.extension(command)
            self._emit(events.PcrExtended, pcr, MEASURED.get(pcr, ""), digest.hex())
        elif code == Code.QUOTE:
            with suppress(TpmError):  # not a quote; the verifier will detect that
                self._quoted(messages.quoted(response))

    def _quoted(self, quote: messages.Quoted) -> None:
        resets, algorithm = messages.clock_of(quote.attest).reset_count, messages.signature_algorithm(quote.signature)
        pcr_digest = quote.attest[-32:]
        self._emit(events.Quoted, _ALGORITHMS.get(algorithm, f"{algorithm:#06x}"), resets, pcr_digest.hex())
