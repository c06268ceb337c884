"""Variations of a scenario that differ in a secret: other sensor values, other bytes in a payload's data segments."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from enclave_sim.enclave.configuration import read_payloads
from enclave_sim.errors import ConfigurationError
from enclave_sim.guarantees.observation import Scenario
from enclave_sim.payload.keys import SigningKey, development_key
from enclave_sim.payload.signature import SECTION_NAME, sign
from enclave_sim.payload.wasm.sections import Section, assemble, decode_u32, sections

_DATA_SECTION = 11
_I32_CONST, _END = 0x41, 0x0B


def with_other_sensors(scenario: Scenario, seed: int) -> Scenario:
    """Return the scenario with other values in both sensor registers.

    Args:
        scenario: The scenario.
        seed: Chooses the values.

    Returns:
        A new scenario.
    """
    random = Random(seed)
    sensors = (random.getrandbits(32), random.getrandbits(32))
    return replace(scenario, options=scenario.options.with_configuration(sensors=sensors))


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
