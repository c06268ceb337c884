"""A module in the VMM and in wasmtime, side by side."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from enclave_sim.strategies.module_defects import DEFECTS
from enclave_sim.strategies.wasm.builder import Options
from enclave_sim.strategies.wasm.guests import WasmGuest
from enclave_sim.strategies.wasm.statements import generate
from tests.firmware.vmm import reference
from tests.firmware.vmm.harness import TRAPS, Died, Event, Harness
from tests.firmware.vmm.verdicts import Comparison, compare

STACK, HANGS = TRAPS.index("stack"), TRAPS.index("hangs")
_OPTIONS = Options(traps=True, memory_pages=2, host_calls=True)


@dataclass
class Tally:
    """What was compared, and the differences."""

    counts: Counter[str] = field(default_factory=Counter)
    differences: list[tuple[str, bytes]] = field(default_factory=list)
    """A description, and the module."""

    def add(self, harness: Harness, module: bytes) -> None:
        """Compare the verdicts on a module, and the behaviour of its guest if it is accepted."""
        self.counts["modules"] += 1
        theirs = reference.verdict(module)
        try:
            ours = harness.validate(module)
        except Died as died:
            self.differences.append((str(died), module))
            return
        comparison = compare(ours, theirs)
        self.counts[comparison.name.lower()] += 1
        if comparison is Comparison.DIFFERENT:
            self.differences.append((f"{ours}; {theirs}", module))
        elif ours.reason is None:
            self._run(harness, reference.exposed(module))

    def _run(self, harness: Harness, module: bytes) -> None:
        theirs = reference.run(module)
        try:
            _, ours = harness.run(module)
        except Died as died:
            self.differences.append((str(died), module))
            return
        self.counts["ran"] += 1
        self.counts["host calls"] += len(ours) - 1
        self.counts[f"ended: {TRAPS[ours[-1].kind] or 'returned'}"] += 1
        if not alike(ours, theirs):
            self.differences.append((f"{_first(ours, theirs)}", module))


def alike(ours: list[Event], theirs: list[Event]) -> bool:
    """Return whether two runs are equal.

    The depth at which the stack overflows is a property of each engine. A guest that neither returns nor traps is ended
    here after some time, and in wasmtime after some fuel: what came before is compared. wasmtime shows no memory if
    instantiation traps.
    """
    if HANGS in (ours[-1].kind, theirs[-1].kind) and "T" in (ours[-1].record, theirs[-1].record):
        common = min(len(ours), len(theirs)) - 1
        return ours[:common] == theirs[:common]
    if STACK in (ours[-1].kind, theirs[-1].kind) and ours[-1].record == theirs[-1].record == "T":
        return True
    if len(theirs) == 1 and not theirs[0].digest:
        return [event._replace(digest=b"") for event in ours] == theirs
    return ours == theirs


def _first(ours: list[Event], theirs: list[Event]) -> str:
    for number, (a, b) in enumerate(zip(ours, theirs, strict=False)):
        if a != b:
            return f"event {number}: {a}, and in wasmtime {b}"
    return f"{len(ours)} events, and in wasmtime {len(theirs)}"


def guest(seed: int) -> WasmGuest:
    """Return the guest of a seed, from the strategies for guests."""
    source = random.Random(seed)
    tapes = [source.randbytes(source.choice((8, 32, 64))) for _ in range(source.randrange(12))]
    return WasmGuest(generate(tapes, _OPTIONS))


def defective(seed: int) -> bytes:
    """Return a module with one of the defects of `module_defects`."""
    return DEFECTS[sorted(DEFECTS)[seed % len(DEFECTS)]](guest(seed).source, seed)


def damaged(module: bytes, seed: int) -> bytes:
    """Return a module of which a byte or two are changed, inserted or removed."""
    source, found = random.Random(seed), bytearray(module)
    for _ in range(source.choice((1, 1, 2))):
        at = source.randrange(8, len(found))
        byte = source.choice(
            (source.randrange(256), found[at] ^ 1 << source.randrange(8), source.choice(found), 0, 0xFC)
        )
        how = source.randrange(4)
        found[at : at + (how != 0)] = b"" if how == 1 else bytes([byte])
    return bytes(found)


def tally(harness: Harness, modules: Iterable[bytes]) -> Tally:
    """Compare modules."""
    found = Tally()
    for module in modules:
        found.add(harness, module)
    return found
