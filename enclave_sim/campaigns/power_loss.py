"""Loss of power: the enclave boots again, with what RAM still holds.

All is lost but RAM, of which bits decay, and the non-volatile part of the TPM, which counts a TPM Reset without an
orderly shutdown. The next boot is that of the golden run: the loader puts the image, the boot information and the
modules over what RAM holds.
"""

import hashlib
from collections.abc import Iterator

from enclave_sim.campaigns.faults import MILLION, PowerLoss
from enclave_sim.campaigns.golden import Golden, Moment
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.guarantees.report import Finding, hex_dump
from enclave_sim.memory_map import GUEST_MEMORY
from enclave_sim.recording.text import plural
from machine.bus.ram import PAGE_SIZE
from machine.bus.writer import INPUT
from machine.devices.tpm_crb import TpmCrb

_DRAW = 3
"""Bytes of the random stream for each bit."""
_BITS = 8
_SHOWN = 32
_OF_GUESTS = (*GUEST_MEMORY, "arena", "call_stack", "irq_stack")
"""Regions that hold what a guest has computed, received or passed to the kernel."""


def lose_power(enclave: Enclave, golden: Golden, fault: PowerLoss) -> tuple[list[Finding], tuple[str, ...]]:
    """Lose power now: bring the enclave to the beginning of its next boot.

    Args:
        enclave: The enclave.
        golden: Its golden run.
        fault: Says what remains.

    Returns:
        What of a guest RAM still holds, before the next boot has written anything; and lines about the rest.
    """
    ram = enclave.machine.ram
    kept = {page: decayed(page, ram.read(page, PAGE_SIZE), fault) for page in ram.nonzero_pages()}
    held = enclave.scan_residue().ranges
    crb = next(one for one in enclave.machine.bus.devices if isinstance(one, TpmCrb))
    tpm = crb.tpm.save_state()
    golden.go_to(Moment())
    crb.tpm.load_state(tpm)
    crb.reset()
    for page, content in kept.items():
        for base, left in _left(page, content, _loaded(enclave)):
            ram.write(base, left, INPUT)
    survived: dict[str, list[tuple[int, bytes]]] = {}
    for one in held:
        page, offset = one.base & -PAGE_SIZE, one.base % PAGE_SIZE
        content = kept[page][offset : offset + len(one.data)]
        if any(content):
            survived.setdefault(one.region, []).append((one.base, content))
    guests = [_finding(name, pieces) for name, pieces in survived.items() if name in _OF_GUESTS]
    others = [_finding(name, pieces).what for name, pieces in survived.items() if name not in _OF_GUESTS]
    return guests, tuple(others)


def _finding(name: str, pieces: list[tuple[int, bytes]]) -> Finding:
    base, content = pieces[0]
    size = sum(len(data) - data.count(0) for _, data in pieces)
    return Finding(
        f"{plural(size, 'byte')} of {name} survived, from {base:#x} on", None, hex_dump(base, content[:_SHOWN])
    )


def decayed(page: int, content: bytes, fault: PowerLoss) -> bytes:
    """Return a page after its decay: each bit that is 1 has become 0 with a probability, drawn from the seed."""
    if not fault.decay:
        return content
    stream = hashlib.shake_256(f"{fault.seed}/{page}".encode()).digest(len(content) * _BITS * _DRAW)
    limit = (fault.decay << _BITS * _DRAW) // MILLION
    found = bytearray(content)
    for offset, byte in enumerate(content):
        for bit in range(_BITS) if byte else ():
            at = (offset * _BITS + bit) * _DRAW
            if byte >> bit & 1 and int.from_bytes(stream[at : at + _DRAW], "little") < limit:
                found[offset] ^= 1 << bit
    return bytes(found)


def _loaded(enclave: Enclave) -> list[range]:
    """Return where the loader writes, in order."""
    loaded = enclave.loaded
    found = [range(one.physical, one.physical + one.memory_size) for one in loaded.executable.segments]
    found += [range(base, base + length) for base, length in (loaded.information, *loaded.modules)]
    return sorted((one for one in found if one), key=lambda one: one.start)


def _left(page: int, content: bytes, loaded: list[range]) -> Iterator[tuple[int, bytes]]:
    """Yield the pieces of a page that the loader does not write."""
    at, end = page, page + len(content)
    for one in loaded:
        if one.stop > at and one.start < end:
            if one.start > at:
                yield at, content[at - page : one.start - page]
            at = one.stop
    if at < end:
        yield at, content[at - page :]
