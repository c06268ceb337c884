"""All copies of a secret in the state of a machine, found by its bytes alone."""

import re
from typing import Any

from enclave_sim.enclave.attester.attestation_port import AttestationPort
from enclave_sim.time_travel.navigation.provenance.content import content
from enclave_sim.time_travel.navigation.provenance.places import CONTROL, MMX, VECTORS, X87_BYTES, Place
from enclave_sim.time_travel.target import Subject
from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.bus.ram import PAGE_SIZE
from machine.devices import tpm_crb

WINDOW = 5
"""Bytes in a row that are no coincidence in the state of a small machine."""

Copies = set[tuple[str, int]]
"""Space and number of each byte of a copy."""


class Scan:
    """Looks at everything after each step. Pages of RAM are compared with what they held before."""

    def __init__(self, subject: Subject, secret: bytes) -> None:
        self._machine = subject.machine
        windows = {secret[at : at + WINDOW] for at in range(len(secret) - WINDOW + 1)}
        self._pattern = re.compile(b"(?=" + b"|".join(re.escape(one) for one in sorted(windows)) + b")", re.DOTALL)
        self._image = self._machine.ram.image()
        self._contents: list[tuple[str, int, bytes]] = []
        self._in_ram: dict[int, set[int]] = {}
        for base, data in self._image.runs:
            for page in range(base, base + len(data), PAGE_SIZE):
                self._look(page)
        devices = self._machine.bus.devices
        self._crb = next((one for one in devices if isinstance(one, tpm_crb.TpmCrb)), None)
        self._port = next((one for one in devices if isinstance(one, AttestationPort)), None)

    def copies(self) -> Copies:
        """Every byte that is part of a copy now."""
        ram = self._machine.ram
        changed = ram.changed_pages(self._image)
        if changed:
            self._image = ram.image(like=self._image)
            for page in changed:
                self._look(page)
                self._look(page - PAGE_SIZE)
        found: Copies = {("memory", byte) for bytes_ in self._in_ram.values() for byte in bytes_}
        self._contents = self._others()
        for space, start, held in self._contents:
            found |= {(space, start + at) for at in self._found(held)}
        return found

    def value(self, space: str, byte: int) -> int | None:
        """The value of a byte at the last call of `copies`; None if it is not looked at."""
        if space == "memory" and byte < self._machine.ram.size:
            return self._machine.ram.view[byte]
        for name, start, held in self._contents:
            if name == space and start <= byte < start + len(held):
                return held[byte - start]
        return None

    def _look(self, page: int) -> None:
        if page >= 0:
            end = min(page + PAGE_SIZE + WINDOW - 1, self._machine.ram.size)
            found = self._found(self._machine.ram.view[page:end])
            self._in_ram.pop(page, None)
            if found:
                self._in_ram[page] = {page + at for at in found}

    def _found(self, held: Any) -> set[int]:
        return {match.start() + n for match in self._pattern.finditer(held) for n in range(WINDOW)}

    def _others(self) -> list[tuple[str, int, bytes]]:
        cpu = self._machine.cpu
        vectors = cpu.context.vector_registers
        found = [
            *((name, 0, int(getattr(cpu.registers, name)).to_bytes(8, "little")) for name in GENERAL_REGISTERS),
            *((name, 0, vectors[16 * number : 16 * number + 16]) for number, name in enumerate(VECTORS)),
            *((name, 0, cpu.read_register(name.upper()).to_bytes(8, "little")) for name in CONTROL),
            *((name, 0, content(self._machine, Place(name, 0, X87_BYTES))) for name in MMX),
            *((f"{name}_base", 0, getattr(cpu.registers, name).base.to_bytes(8, "little")) for name in ("fs", "gs")),
            ("kernel_gs_base", 0, cpu.read_msr(0xC000_0102).to_bytes(8, "little")),
            *((f"dr{number}", 0, cpu.debug.read(number).to_bytes(8, "little")) for number in range(4)),
        ]
        if self._crb is not None:
            found.append(("memory", tpm_crb.ADDRESS + tpm_crb.BUFFER, bytes(self._crb._buffer)))
        if self._port is not None:
            found.append(("memory", 0xFEF0_2020, bytes(self._port._nonce)))
        return found
