"""The page that `enclave-sim run` prints: from the boot phases to the residue in RAM.

It is legible at 80 columns, without colour, and on an ASCII terminal. From `_WIDE` columns on, the memory map is beside
the rest. Import it only to draw something: rich takes 50 ms to load.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

import firmware
from enclave_sim.cli.output.drawing import ASCII, UNICODE, Glyphs, draw, facts_table, headed_table
from enclave_sim.cli.output.memory_map import memory_map
from enclave_sim.cli.output.rejection import REJECTED
from enclave_sim.payload.errors import PayloadCheck
from enclave_sim.recording.hex_lines import LINE_BYTES, hex_lines
from enclave_sim.recording.outcome.summary import PhaseSummary, RunResult
from enclave_sim.recording.text import binary_size, one_line, plural, printable
from enclave_sim.specification import Phase, Status, Step

_WIDE, _STORY = 132, 62
"""The minimum width of a wide page, and the width of everything except the memory map on it."""
_SIGNALS_SHOWN = 16
_RESIDUE_RANGES_SHOWN = 4
_DUMP_LINES = 4
_LONGEST_BAR = 24
_IN_WORDS = {
    "COMPLETED": "the payload ran all its cycles",
    "SHRED_SELF": "the payload asked to be destroyed",
    "GUEST_FAULT": "the payload raised an exception in ring 3",
    "PAYLOAD_REJECTED": REJECTED,
    "ATTESTATION_REFUSED": "attestation is required and was refused",
    "KERNEL_FAULT": "the kernel raised an exception or failed a check",
    "TAMPER": "the tamper line was pulled",
    "KERNEL_STOPPED": "the kernel stopped before annihilation",
    "LIMIT": "virtual time ran out before the enclave was dormant",
}
_COLOURS = {"COMPLETED": "green", "SHRED_SELF": "green", "LIMIT": "yellow"}


@dataclass(frozen=True, slots=True)
class Presentation:
    """Facts about a run that are not in its result."""

    payloads: tuple[str, ...]
    """The names or paths as given by the user."""
    cycles: int
    """The requested number of cycles."""
    status_words: frozenset[int]
    """The answers of `get_status`. A signal with one of these values is shown with the names of its bits."""
    recording: Path | None
    """The file with the recording, if any."""
    firmware: str = "aether.elf"
    """The kernel that booted: the path given by the user, or the name of the built-in one."""


def render(result: RunResult, presentation: Presentation) -> bytes:
    """Return the page, encoded for standard output, in colour on a terminal unless NO_COLOR is set."""
    return draw(lambda width, unicode: _Page(result, presentation, UNICODE if unicode else ASCII, width).build())


class _Page:
    """The page. Each method draws one part of it."""

    def __init__(self, result: RunResult, presentation: Presentation, glyphs: Glyphs, width: int) -> None:
        self._result = result
        self._presentation = presentation
        self._glyphs = glyphs
        self._wide = width >= _WIDE
        self._width = width
        self._colour = _COLOURS.get(result.outcome, "red")

    def build(self) -> RenderableType:
        """Return the page, from top to bottom."""
        story = list(self._section("Boot", self._phases()))
        story += self._section("Ring transitions", self._transitions())
        story += self._section(f"Signals: {len(self._result.signals):,}", self._signals())
        if self._result.annihilation:
            story += self._section("Annihilation", self._annihilation())
        width = self._width - _STORY if self._wide else self._width
        memory = self._section("Memory map", memory_map(self._glyphs, width))
        if self._wide:
            columns = Table.grid(padding=(0, 3, 0, 0))
            columns.add_column(width=_STORY)
            columns.add_column()
            columns.add_row(Group(*story), Group(*memory))
            return Group(self._head(), columns, *self._end())
        return Group(self._head(), *story, *memory, *self._end())

    def _section(self, title: str, content: RenderableType) -> Iterator[RenderableType]:
        yield Text()
        yield Rule(Text(title, "bold"), align="left", characters=self._glyphs.line, style="dim")
        yield Padding(content, (0, 0, 0, 1))

    def _head(self) -> RenderableType:
        result = self._result
        title = Text.assemble(
            ("AETHER ENCLAVE", "bold"), "  ", (f" {result.outcome} ", f"bold reverse {self._colour}"), "  "
        )
        title.append(_IN_WORDS[result.outcome], self._colour)
        facts = facts_table()
        hashes = result.payload_sha256
        every = (hashes,) if isinstance(hashes, str) else hashes
        for name, sha256 in zip(self._presentation.payloads, every, strict=True):
            facts.add_row("payload", Text(printable(name), "bold"))
            facts.add_row("SHA-256", sha256)
        facts.add_row("firmware", Text(printable(self._presentation.firmware)))
        facts.add_row("SHA-256", result.firmware_sha256)
        facts.add_row(
            "run",
            f"cycle {result.cycles:,} of {self._presentation.cycles:,}, {result.virtual_ns:,} ns, "
            f"{plural(result.host_calls, 'host call')}, {plural(result.preemptions, 'preemption')}",
        )
        if result.attestation.message:
            facts.add_row("attestation", self._attestation())
        return Group(Text(), title, Text(), Padding(facts, (0, 0, 0, 1)), *self._why())

    def _attestation(self) -> Text:
        """Summarize the verdicts."""
        found = self._result.attestation
        made = plural(found.accepted + found.refused, "quote")
        if not found.refused:
            return Text(f"{made} accepted, {one_line(found.message)} each", "green")
        return Text(f"{found.refused:,} of {made} refused: {one_line(found.message)}", "red")

    def _why(self) -> Iterator[RenderableType]:
        """Yield each error with its remedy."""
        result = self._result
        if not result.detail:
            return
        facts = facts_table()
        check, _, message = result.detail.partition(": ")
        if result.outcome == "PAYLOAD_REJECTED" and check in PayloadCheck.__members__:
            facts.add_row("check", Text(check, "bold red"))
            facts.add_row("found", Text(one_line(message), "red"))
            facts.add_row("wanted", Text(PayloadCheck[check].value, "green"))
            if check == PayloadCheck.UNKNOWN_KEY.name:
                facts.add_row("", Text("add the signer's with --trust-anchor NAME.anchor.json", "green"))
        else:
            facts.add_row("cause", Text(one_line(result.detail), self._colour))
        yield Text()
        yield Padding(facts, (0, 0, 0, 1))

    def _phases(self) -> RenderableType:
        table = headed_table("phase", "target state", ">entered ns", ">reached ns", "")
        reached = {phase.name: phase for phase in self._result.phases}
        for phase in Phase:
            table.add_row(f"{phase:02d} {phase.name}", *self._phase(phase, reached.get(phase.name)))
        return table

    def _phase(self, phase: Phase, summary: PhaseSummary | None) -> tuple[Text, ...]:
        state = Text(phase.target_state)
        if summary is None:
            state.stylize("dim")
            return state, Text(), Text("not entered", "dim"), Text()
        entered = Text(f"{summary.at_ns:,}")
        if summary.reached_at_ns is None:
            state.stylize("dim")
            return state, entered, Text("not reached", "red"), Text(self._glyphs.cross, "bold red")
        return state, entered, Text(f"{summary.reached_at_ns:,}"), Text(self._glyphs.tick, "bold green")

    def _transitions(self) -> RenderableType:
        table = headed_table("ring", "cause", ">count", "")
        most = max(self._result.transitions.values(), default=1)
        for key, count in self._result.transitions.items():
            rings, _, cause = key.partition(" ")
            bar = self._glyphs.bar * max(1, round(count / most * _LONGEST_BAR))
            table.add_row(
                rings.replace("->", f" {self._glyphs.arrow} "),
                cause.replace("_", " "),
                f"{count:,}",
                Text(bar, "cyan" if rings.endswith("0") else "magenta", no_wrap=True, overflow="crop"),
            )
        if not self._result.transitions:
            return Text("none: ring 3 was never entered", "dim")
        return table

    def _signals(self) -> RenderableType:
        signals = self._result.signals
        if not signals:
            return Text("none", "dim")
        table = headed_table(">", "hex", ">decimal", "status word")
        for number, value in enumerate(signals[:_SIGNALS_SHOWN], 1):
            table.add_row(f"{number}", f"0x{value:08x}", f"{value:,}", self._status(value))
        if len(signals) > _SIGNALS_SHOWN:
            table.add_row(self._glyphs.ellipsis, f"{len(signals) - _SIGNALS_SHOWN:,} more", "", "")
        if not self._presentation.status_words.intersection(signals):
            table.columns.pop()
        return table

    def _status(self, value: int) -> Text:
        if value not in self._presentation.status_words:
            return Text()
        return Text(" ".join(flag.name or "" for flag in Status(value)), "green")

    def _annihilation(self) -> RenderableType:
        table = headed_table("step", ">at ns", "")
        done = {step.step: step for step in self._result.annihilation}
        for step in Step:
            if step.name in done:
                table.add_row(step.name, f"{done[step.name].at_ns:,}", done[step.name].meaning)
            else:
                table.add_row(Text(step.name, "dim"), Text("not done", "red"), Text(step.meaning, "dim"))
        return table

    def _end(self) -> Iterator[RenderableType]:
        result = self._result
        facts = facts_table()
        facts.add_row("residue", self._residue())
        facts.add_row("digest", Text(result.digest, "bold"))
        facts.add_row("", f"SHA-256 of {plural(result.events, 'event')}")
        if self._presentation.recording is not None:
            facts.add_row("recorded", Text(printable(str(self._presentation.recording))))
        yield from self._section("Residue and digest", facts)
        yield Text()

    def _residue(self) -> RenderableType:
        result = self._result
        if not result.halted:
            return Text("not scanned: the enclave is not dormant", "yellow")
        if not result.residue_bytes:
            ram = binary_size(firmware.layout()["RAM_SIZE"])
            return Text(f"{self._glyphs.tick} none in {ram} of RAM; the enclave is dormant", "bold green")
        lines = [Text(f"{self._glyphs.cross} {plural(result.residue_bytes, 'byte')} should not be there", "bold red")]
        for found in result.residue[:_RESIDUE_RANGES_SHOWN]:
            data = bytes.fromhex(found["bytes"])
            lines.append(Text(f"{found['region']}: {plural(len(data), 'byte')} at 0x{found['base']:08x}", "red"))
            lines += self._dump(found["base"], data)
        hidden = len(result.residue) - _RESIDUE_RANGES_SHOWN
        if hidden > 0:
            lines.append(Text(f"{self._glyphs.ellipsis} and {plural(hidden, 'more range')}", "red"))
        return Group(*lines)

    def _dump(self, base: int, data: bytes) -> Iterator[Text]:
        shown = data[: LINE_BYTES * _DUMP_LINES]
        for line in hex_lines(base, shown):
            yield Text(str(line), no_wrap=True, overflow="crop")
        if len(data) > len(shown):
            yield Text(f"{self._glyphs.ellipsis} {plural(len(data) - len(shown), 'more byte')}", "dim")
