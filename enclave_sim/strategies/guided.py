"""Guided search: examples that reach something new are kept, and changed further.

    guide = Guide()
    template = Template("counter", cycles=2, prepare=guide.attach)

    @given(interrupt_schedules(template.at_ns, template.at_ns + 2_000_000))
    def leaves_nothing(inputs):
        enclave = template.start(inputs=inputs)
        result = enclave.run()
        guide.look(enclave)
        assert result.residue_bytes == 0

    found = search(leaves_nothing, guide, executions=10_000)

New are: instructions and transfers of the kernel, ring transitions, boot phases with status words, page tables, ways to
wake and to end. The search uses Hypothesis's entry for fuzzers: an example is a string of bytes from which the
strategies draw. A failing one is kept in Hypothesis's database, so that calling the test shrinks it as always.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from enclave_sim.enclave.enclave import Enclave
from enclave_sim.enclave.kernel.program import Program
from enclave_sim.errors import ConfigurationError
from enclave_sim.events import AnnihilationBegan, PhaseCompleted, Woken
from enclave_sim.files.reading import SMALL, read_file
from enclave_sim.files.writing import new_directory, write_file
from machine.events import Event, InterruptDelivered, RegisterWritten, RingTransition
from machine.processor.code_coverage import CodeCoverage

_LONGEST = 1024
"""Bytes of an example, at most."""
_FRESH = 8
"""One of so many examples does not come from one that was kept."""
_FAVOURED = 16
"""Half of the examples come from the last so many that were kept."""
_MOST_CHANGES = 4


class Guide:
    """Recognises what is new. One guide serves one search; its enclaves are attached before they boot.

    Args:
        program: The kernel; by default that of the first enclave attached.
    """

    def __init__(self, program: Program | None = None) -> None:
        self._program = program
        self._noted: list[CodeCoverage] = []
        self._marks = 0
        self._transfers = 0
        self._states: set[tuple[Any, ...]] = set()
        self._found_new = False

    def attach(self, enclave: Enclave) -> None:
        """Note the code that an enclave executes, from now on.

        Args:
            enclave: It keeps its recording.
        """
        program = self._program or enclave.program
        code = [region for region in program.sections if "x" in region.rights]
        noted = enclave.machine.cover(range(code[0].base, code[-1].base + code[-1].size))
        assert noted is not None
        self._noted.append(noted)

    def look(self, enclave: Enclave) -> bool:
        """Look at a run that has ended.

        Args:
            enclave: The enclave.

        Returns:
            True if the run has reached something that no run before has.
        """
        marks = sum(len(one.marks) - one.marks.count(0) for one in self._noted)
        transfers = sum(one.count for one in self._noted)
        events = enclave.recording.events if enclave.recording is not None else []
        states = {shape for event in events if (shape := _shape(event)) is not None}
        new = (marks, transfers) != (self._marks, self._transfers) or not states <= self._states
        self._marks, self._transfers = marks, transfers
        self._states |= states
        self._found_new = self._found_new or new
        return new

    def take_new(self) -> bool:
        """Report whether something new was reached since the last call."""
        new, self._found_new = self._found_new, False
        return new


def _shape(event: Event) -> tuple[Any, ...] | None:
    """Return what may be new about an event; None if nothing."""
    match event:
        case RingTransition():
            return "ring", event.from_ring, event.to_ring, event.cause, event.vector
        case PhaseCompleted():
            return "phase", event.phase, event.status
        case RegisterWritten(register="CR3"):
            return "page tables", event.value
        case Woken():
            return "woken", event.source
        case AnnihilationBegan():
            return "cause", event.cause, event.detail
        case InterruptDelivered():
            return "interrupt", event.vector
    return None


class Found(msgspec.Struct, frozen=True):
    """The end of a search."""

    executions: int
    """The number of examples executed."""
    kept: int
    """The number of examples in the corpus."""
    failure: bytes | None
    """The example that failed; None if none did."""
    message: str = ""
    """The error that it raised, in one line."""


def search(
    test: Callable[..., Any],
    guide: Guide | None,
    *,
    executions: int,
    seed: int = 0,
    corpus: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Found:
    """Execute a property-based test on many examples, until one fails.

    The same seed and the same corpus give the same examples.

    Args:
        test: A function decorated with Hypothesis's `given`.
        guide: What the test shows its runs to; None for a search without guidance, to compare with.
        executions: The number of examples, at most.
        seed: Decides what is drawn.
        corpus: A directory for the examples kept, one file each. Those in it are executed first, in the order of their
            names.
        stop: Polled before each example; True ends the search.

    Returns:
        What was found.

    Raises:
        ConfigurationError: `test` is not such a function, or the corpus cannot be read or written.
    """
    handle: Any = getattr(test, "hypothesis", None)
    if handle is None:
        raise ConfigurationError("a search needs a test that is decorated with hypothesis.given")
    draw, kept = Random(seed), list(_loaded(corpus))
    first = list(kept)
    for number in range(executions):
        if stop():
            return Found(number, len(kept), None)
        example = first.pop(0) if first else _next(draw, kept if guide is not None else [])
        if guide is not None:
            guide.take_new()
        try:
            canonical: bytes | None = handle.fuzz_one_input(example)
        except Exception as error:  # noqa: BLE001 - whatever the test raises is the failure
            message = str(error).splitlines()[0] if str(error) else ""
            return Found(number + 1, len(kept), example, f"{type(error).__name__}: {message}")
        if guide is not None and guide.take_new() and canonical is not None and canonical not in kept:
            kept.append(canonical)
            _save(corpus, canonical)
    return Found(executions, len(kept), None)


def _loaded(corpus: Path | None) -> Iterator[bytes]:
    if corpus is not None and corpus.is_dir():
        for path in sorted(corpus.glob("*.example")):
            yield read_file(path, SMALL)


def _save(corpus: Path | None, example: bytes) -> None:
    if corpus is not None:
        with new_directory(corpus):
            write_file(corpus / f"{hashlib.sha256(example).hexdigest()[:32]}.example", example)


def _next(draw: Random, kept: list[bytes]) -> bytes:
    """Return an example: fresh bytes, or one that was kept, with changes."""
    if not kept or draw.randrange(_FRESH) == 0:
        return draw.randbytes(draw.randrange(1, _LONGEST))
    parent = draw.choice(kept[-_FAVOURED:] if draw.randrange(2) else kept)
    changed = bytearray(parent)
    for _ in range(draw.randrange(1, _MOST_CHANGES + 1)):
        _change(draw, changed, kept)
    room = draw.randbytes(_LONGEST // 4)  # what the strategies draw beyond the end of the parent
    return bytes(changed[:_LONGEST]) + room


def _change(draw: Random, example: bytearray, kept: list[bytes]) -> None:
    """Make one change: of a byte or a bit, of a piece, or of all that follows some place."""
    at = draw.randrange(len(example) + 1)
    match draw.randrange(7):
        case 0 | 1 if at < len(example):
            example[at] = draw.randrange(256)
        case 2 if at < len(example):
            example[at] ^= 1 << draw.randrange(8)
        case 3:
            del example[at : at + draw.randrange(1, 9)]
        case 4:
            piece = example[at : at + draw.randrange(1, 17)]
            place = draw.randrange(len(example) + 1)
            example[place:place] = piece
        case 5:
            other = draw.choice(kept)
            example[at:] = other[draw.randrange(len(other) + 1) :]
        case _:
            del example[at:]
