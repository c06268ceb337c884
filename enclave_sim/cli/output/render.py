"""A run as people like to look at it: from the phases of the boot to what is left in RAM.

Reads well at 80 columns, without colour, and where the terminal knows nothing but ASCII. From `_WIDE` columns on, the
memory map stands beside the rest. To be imported when there is something to draw: rich takes its time.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

import firmware
from enclave_sim.memory_map import Region, regions
from enclave_sim.payload.errors import PayloadCheck
from enclave_sim.recording.hex_lines import LINE_BYTES, hex_lines
from enclave_sim.recording.outcome.summary import PhaseSummary, RunResult
from enclave_sim.recording.text import binary_size, one_line, plural, printable
from enclave_sim.specification import Phase, Status, Step

_WIDE, _NARROW = 132, 60
_SIGNALS_SHOWN = 16
_RESIDUE_RANGES_SHOWN = 4
_DUMP_LINES = 4
_LARGEST_GUARD = 0x10000
_LONGEST_BAR = 24
_LONGEST_STRIP = 64
_IN_WORDS = {
    "COMPLETED": "the payload ran all its cycles",
    "SHRED_SELF": "the payload asked to be destroyed",
    "GUEST_FAULT": "the payload raised an exception in ring 3",
    "PAYLOAD_REJECTED": "a payload failed a check and was never run",
    "ATTESTATION_REFUSED": "attestation is required and was refused",
    "KERNEL_FAULT": "the kernel met a fault of its own",
    "TAMPER": "the tamper line was pulled",
    "KERNEL_STOPPED": "a memory fault ended the kernel before annihilation",
    "LIMIT": "virtual time ran out while the enclave was still at work",
}
_COLOURS = {"COMPLETED": "green", "SHRED_SELF": "green", "LIMIT": "yellow"}
_GROUP_COLOURS = {"arena": "blue", "staging": "yellow", "heap": "magenta"}
_KERNEL_COLOUR = "cyan"


@dataclass(frozen=True, slots=True)
class Presentation:
    """What a reader wants to see of a run that the result does not hold."""

    payloads: tuple[str, ...]
    """As they were asked for."""
    cycles: int
    """How many were asked for."""
    status_words: frozenset[int]
    """What `get_status` answered: a signal among these is shown with the names of its bits."""
    recording: Path | None
    """Where the recording went."""


@dataclass(frozen=True, slots=True)
class _Glyphs:
    """What the terminal can show."""

    tick: str
    cross: str
    arrow: str
    bar: str
    empty: str
    hole: str
    line: str
    ellipsis: str


_UNICODE = _Glyphs("\u2713", "\u2717", "\u2192", "\u2588", "\u00b7", "\u254c\u254c", "\u2500", "\u2026")
_ASCII = _Glyphs("ok", "no", "->", "#", ".", "--", "-", "...")


def render(result: RunResult, presentation: Presentation) -> bytes:
    """All of it, encoded for standard output, in colour if that is a terminal and nobody asked for NO_COLOR."""
    return draw(lambda width, unicode: _Page(result, presentation, _UNICODE if unicode else _ASCII, width).build())


def draw(build: Callable[[int, bool], RenderableType]) -> bytes:
    """What `build` makes for a width, and for a terminal that may know Unicode, encoded for standard output."""
    output = Console()
    encoding = output.encoding
    page = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace", newline="\n")
    console = Console(
        file=page, width=output.width, force_terminal=output.is_terminal, highlight=False, markup=False, emoji=False
    )
    console.print(build(console.width, encoding.startswith("utf")))
    drawn = page.buffer.getvalue()
    return drawn if output.is_terminal else b"".join(line.rstrip() + b"\n" for line in drawn.splitlines())


class _Page:
    """The parts of the page, each a method that draws one of them."""

    def __init__(self, result: RunResult, presentation: Presentation, glyphs: _Glyphs, width: int) -> None:
        self._result = result
        self._presentation = presentation
        self._glyphs = glyphs
        self._wide = width >= _WIDE
        self._width = width
        self._colour = _COLOURS.get(result.outcome, "red")

    def build(self) -> RenderableType:
        """The page, from top to bottom."""
        story = list(self._section("Boot", self._phases()))
        story += self._section("Ring transitions", self._transitions())
        story += self._section(f"Signals: {len(self._result.signals):,}", self._signals())
        if self._result.annihilation:
            story += self._section("Annihilation", self._annihilation())
        memory_map = self._section("Memory map", self._memory_map())
        if self._wide:
            columns = Table.grid(padding=(0, 3, 0, 0))
            columns.add_column(width=62)
            columns.add_column()
            columns.add_row(Group(*story), Group(*memory_map))
            return Group(self._head(), columns, *self._end())
        return Group(self._head(), *story, *memory_map, *self._end())

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
        facts = _facts()
        hashes = result.payload_sha256
        every = (hashes,) if isinstance(hashes, str) else hashes
        for name, sha256 in zip(self._presentation.payloads, every, strict=True):
            facts.add_row("payload", Text(printable(name), "bold"))
            facts.add_row("SHA-256", sha256)
        facts.add_row("firmware", "aether.elf")
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
        """What the verifier said."""
        found = self._result.attestation
        made = plural(found.accepted + found.refused, "quote")
        if not found.refused:
            return Text(f"{made} accepted, {one_line(found.message)} each", "green")
        return Text(f"{found.refused:,} of {made} refused: {one_line(found.message)}", "red")

    def _why(self) -> Iterator[RenderableType]:
        """What was wrong, and what would have been right."""
        result = self._result
        if not result.detail:
            return
        facts = _facts()
        check, _, message = result.detail.partition(": ")
        if result.outcome == "PAYLOAD_REJECTED" and check in PayloadCheck.__members__:
            facts.add_row("check", Text(check, "bold red"))
            facts.add_row("found", Text(one_line(message), "red"))
            facts.add_row("wanted", Text(PayloadCheck[check].value, "green"))
        else:
            facts.add_row("cause", Text(one_line(result.detail), self._colour))
        yield Text()
        yield Padding(facts, (0, 0, 0, 1))

    def _phases(self) -> RenderableType:
        table = _table("phase", "target state", ">entered ns", ">reached ns", "")
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
        table = _table("ring", "cause", ">count", "")
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
        table = _table(">", "hex", ">decimal", "status word")
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
        table = _table("step", ">at ns", "")
        done = {step.step: step for step in self._result.annihilation}
        for step in Step:
            if step.name in done:
                table.add_row(step.name, f"{done[step.name].at_ns:,}", done[step.name].meaning)
            else:
                table.add_row(Text(step.name, "dim"), Text("not done", "red"), Text(step.meaning, "dim"))
        return table

    def _memory_map(self) -> RenderableType:
        table = _table("address", ">size", "rights", "ring", "region", "")
        end = 0
        for region in regions():
            if region.base > end:
                self._add_gap(table, end, region.base - end)
            colour = _colour(region)
            table.add_row(
                f"0x{region.base:08x}",
                binary_size(region.size),
                region.rights,
                f"{region.ring}",
                Text(region.name, colour),
                Text("measured" if region.measured else "", "green"),
            )
            end = region.end
        table.add_row(
            *(Text(word, "dim") for word in (f"0x{end:08x}", "", "---", "", f"{self._glyphs.hole} guard: RAM ends"))
        )
        table.columns[0].no_wrap, table.columns[0].min_width = True, 10
        if self._width < _NARROW:
            table.columns.pop()
        return Group(*self._strip(), Text(), table)

    def _add_gap(self, table: Table, base: int, size: int) -> None:
        words = (f"0x{base:08x}", binary_size(size) if size else "", "---", "")
        kind = "guard" if size <= _LARGEST_GUARD else "not mapped"
        table.add_row(*(Text(word, "dim") for word in (*words, f"{self._glyphs.hole} {kind}")))

    def _strip(self) -> Iterator[Text]:
        """All of RAM on one line, to scale; what fills most of a cell gives it its letter."""
        ram = firmware.layout()["RAM_SIZE"]
        cells = _LONGEST_STRIP
        while cells > max(8, (self._width - 62 if self._wide else self._width) - 6):
            cells //= 2
        strip = Text(no_wrap=True, overflow="crop")
        for cell in range(cells):
            base, end = ram // cells * cell, ram // cells * (cell + 1)
            held = {region: min(end, region.end) - max(base, region.base) for region in regions()}
            region, size = max(held.items(), key=lambda item: item[1])
            if size > 0:
                strip.append(region.name[0].upper() if _colour(region) != _KERNEL_COLOUR else "K", _colour(region))
            else:
                strip.append(self._glyphs.empty, "dim")
        yield strip
        yield Text(f"{binary_size(ram // cells)} each: Kernel and stacks, Arena, Staging, Heap", "dim")

    def _end(self) -> Iterator[RenderableType]:
        result = self._result
        facts = _facts()
        facts.add_row("residue", self._residue())
        facts.add_row("digest", Text(result.digest, "bold"))
        facts.add_row("", f"SHA-256 of {plural(result.events, 'event')}")
        if self._presentation.recording is not None:
            facts.add_row("recorded", Text(printable(str(self._presentation.recording))))
        yield from self._section("What is left", facts)
        yield Text()

    def _residue(self) -> RenderableType:
        result = self._result
        if not result.halted:
            return Text("not looked for: the enclave is not dormant", "yellow")
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


def _facts() -> Table:
    """Labels and what belongs to them."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _table(*headers: str) -> Table:
    """A table without lines; a column whose header begins with `>` holds numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for header in headers:
        justify: JustifyMethod = "right" if header.startswith(">") else "left"
        table.add_column(header.removeprefix(">"), justify=justify, overflow="fold")
    return table


def _colour(region: Region) -> str:
    return _GROUP_COLOURS.get(region.name, _KERNEL_COLOUR)
