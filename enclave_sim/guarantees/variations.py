"""Variations of a scenario that differ in a secret that a guest can see.

It is in the data segments of its module, in the status word that the kernel tells it, or in its memory.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from enclave_sim.enclave.configuration import read_payloads
from enclave_sim.errors import ConfigurationError
from enclave_sim.guarantees.observation import Scenario
from enclave_sim.inputs import AfterEvent, ExternalInterrupt, MemoryWrite, UplinkReady
from enclave_sim.memory_map import region
from enclave_sim.payload.keys import SigningKey, development_key
from enclave_sim.payload.signature import SECTION_NAME, sign
from enclave_sim.payload.wasm.sections import Section, assemble, decode_u32, sections

_DATA_SECTION = 11
_I32_CONST, _END = 0x41, 0x0B
_PAGE_BYTES, _SECRET_BYTES = 1 << 16, 16
_ASLEEP, _ENTERED = AfterEvent("wake_scheduled"), AfterEvent("ring_transition", {"to_ring": 3})


def with_other_uplink(scenario: Scenario, seed: int) -> Scenario:
    """Return the scenario with the uplink ready from the start if `seed` is odd, and not ready if it is even.

    A guest sees it in its status word.

    Args:
        scenario: The scenario.
        seed: Chooses: two consecutive seeds differ.

    Returns:
        A new scenario.
    """
    return replace(scenario, inputs=(UplinkReady(at_ns=0, ready=bool(seed % 2)), *scenario.inputs))


def with_other_wake(scenario: Scenario, seed: int) -> Scenario:
    """Return the scenario with the first sleep ended half way by an external interrupt, if `seed` is odd.

    A guest sees in its status word what ended the sleep, so two cycles are needed.

    Args:
        scenario: The scenario.
        seed: Chooses: two consecutive seeds differ.

    Returns:
        The scenario as it is, or a new one.
    """
    if not seed % 2:
        return scenario
    half = scenario.configuration.wake_ns // 2
    return replace(scenario, inputs=(*scenario.inputs, ExternalInterrupt(at_ns=half, after=_ASLEEP)))


def with_other_memory(scenario: Scenario, seed: int) -> Scenario:
    """Return the scenario with other bytes in the memory of its first guest, written when it is entered.

    They are in the last page of a module's linear memory, or in the first of a flat binary's heap. A module without
    memory does not see them.

    Args:
        scenario: The scenario.
        seed: Chooses the bytes.

    Returns:
        A new scenario.
    """
    heap, random = region("heap"), Random(seed)
    start = heap.base if scenario.configuration.engine.is_flat else heap.end - _PAGE_BYTES
    address = start + _PAGE_BYTES - 2 * _SECRET_BYTES
    secret = MemoryWrite(at_ns=0, after=_ENTERED, address=address, data=random.randbytes(_SECRET_BYTES).hex())
    return replace(scenario, inputs=(*scenario.inputs, secret))


def with_other_data(scenario: Scenario, seed: int, key: SigningKey | None = None) -> Scenario:
    """Return the scenario with other bytes in all data segments of all modules, re-signed.

    Args:
        scenario: The scenario.
        seed: Chooses the bytes.
        key: Signs the modules; by default the development key.

    Returns:
        A new scenario.

    Raises:
        ConfigurationError: No payload has a data segment.
    """
    random, key = Random(seed), key or development_key()
    if scenario.configuration.engine.is_flat:
        raise ConfigurationError("a flat binary has no data segments; only modules have")
    modules = read_payloads(scenario.payload)
    changed = [replace_data(module, random) for module in modules]
    if all(new is None for new in changed):
        raise ConfigurationError("no payload has a data segment to keep a secret in")
    payloads = [module if new is None else sign(new, key) for module, new in zip(modules, changed, strict=True)]
    return replace(scenario, payload=payloads)


def replace_data(module: bytes, random: Random) -> bytes | None:
    """Return a module with other bytes in its active data segments, unsigned; None if it has none."""
    parts: list[bytes] = []
    found = False
    for section in sections(module):
        if section.name == SECTION_NAME:
            continue
        if section.id != _DATA_SECTION:
            parts.append(section.raw)
            continue
        raw = bytearray(section.raw)
        for start, length in _segments(section):
            raw[start : start + length] = random.randbytes(length)
            found = found or length > 0
        parts.append(bytes(raw))
    return assemble(parts) if found else None


def _segments(section: Section) -> Iterable[tuple[int, int]]:
    """Yield the start in the section and the length of each active segment's bytes (core specification, 5.5.14)."""
    raw = section.raw
    count, at = decode_u32(raw, section.payload_at)
    for _ in range(count):
        kind, at = decode_u32(raw, at)
        if kind != 0 or raw[at] != _I32_CONST:
            return
        at = raw.index(_END, _skip(raw, at + 1)) + 1
        length, at = decode_u32(raw, at)
        yield at, length
        at += length


def _skip(raw: Sequence[Any], at: int) -> int:
    """Return the offset after a signed LEB128 number."""
    while raw[at] & 0x80:
        at += 1
    return at + 1


SECRETS: dict[str, Callable[[Scenario, int], Scenario]] = {
    "data": with_other_data,
    "uplink": with_other_uplink,
    "wake": with_other_wake,
    "memory": with_other_memory,
}
"""Secrets by the names that `enclave-sim verify --secret` takes."""
