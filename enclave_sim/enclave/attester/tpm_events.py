"""What attests to an enclave: its TPM and its port to a verifier, attached to the machine, and the events of both."""

import struct
from contextlib import suppress
from hashlib import sha256

from enclave_sim import events
from enclave_sim.enclave.attester import attestation_port
from enclave_sim.enclave.attester.contract import Verifier
from machine.machine import Machine
from machine.tpm.backend import TpmBackend

MEASURED = {
    8: "loader information",
    9: "kernel image",
    10: "configuration",
    11: "payload",
    12: "trust anchors",
    13: "runtime state",
}
"""What each platform configuration register stands for; docs/attestation.md."""
_PCR_EXTEND, _QUOTE = 0x182, 0x158
_ALGORITHMS = {0x18: "ecdsa-p256", 0xA1: "ml-dsa-65"}
_HEADER = 10
_CLOCK_INFO = struct.Struct(">QIIB")


def tpm_seed(text: str) -> bytes:
    """The seed of the TPM model that a configuration names."""
    return sha256(b"Enclave Sim TPM model: " + text.encode()).digest()


def attach(machine: Machine, tpm: TpmBackend, verifier: Verifier) -> attestation_port.AttestationPort:
    """Put both on the bus and turn what the TPM is told into events."""
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
        """The TPM has answered a command. What is no response of a TPM is for the kernel to find out."""
        if len(response) < _HEADER:
            return
        code = int.from_bytes(command[6:10], "big")
        answer = int.from_bytes(response[6:10], "big")
        if answer:
            self._emit(events.TpmCommandFailed, code, answer)
        elif code == _PCR_EXTEND:
            pcr = int.from_bytes(command[_HEADER : _HEADER + 4], "big")
            self._emit(events.PcrExtended, pcr, MEASURED.get(pcr, ""), command[-32:].hex())
        elif code == _QUOTE:
            with suppress(struct.error):  # no quote at all, which the verifier will say
                self._quoted(response[_HEADER + 4 :])

    def _quoted(self, parameters: bytes) -> None:
        """TPM2B_ATTEST and TPMT_SIGNATURE (part 2, 10.12.8 and 11.3.4)."""
        size = int.from_bytes(parameters[:2], "big")
        attest, signature = parameters[2 : 2 + size], parameters[2 + size :]
        at = 6
        for _ in ("qualified signer", "extra data"):
            at += 2 + int.from_bytes(attest[at : at + 2], "big")
        if len(attest) < at + _CLOCK_INFO.size:
            return
        _, resets, _, _ = _CLOCK_INFO.unpack_from(attest, at)
        algorithm = int.from_bytes(signature[:2], "big")
        self._emit(events.Quoted, _ALGORITHMS.get(algorithm, f"{algorithm:#06x}"), resets, attest[-32:].hex())
