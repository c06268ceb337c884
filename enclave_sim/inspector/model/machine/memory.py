"""The memory map with the current state of every region, and a heat map of all pages."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from enclave_sim.events import Scrubbed
from enclave_sim.guarantees.watchers.page_tables import Mapping, mappings
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import EMPTY, Meaning, Part, Row, Target, View, note, title
from enclave_sim.memory_map import Region
from enclave_sim.recording.text import plural
from enclave_sim.specification import Status
from machine.architecture.paging import Mode
from machine.bus.ram import PAGE_SIZE, Ram

_PER_ROW = 64
"""Pages in a row of the heat map."""
_MAX_SCRUBS = 4096
"""The number of latest scrubs considered."""
LEGEND = ". zero   o scrubbed and zero since   1-9 tenths in use   L in use, read-only"


@dataclass(frozen=True, slots=True)
class RegionState:
    """The state of a region."""

    region: Region
    pages_in_use: int
    """The number of pages with a nonzero byte."""
    scrubbed_at_ns: int | None
    """Time at which the scrub engine last zeroed all of it, or None."""
    rights: str | None
    """The rights of the current mapping, such as `r-x`; None if it is not mapped, `differ` if its pages differ."""
    user: bool
    locked: bool
    """True if the architecture is locked and the page tables grant exactly the rights in the memory map."""

    @property
    def words(self) -> str:
        """A description of the state: zero, dirty, scrubbed or image, and whether it is locked."""
        state = "dirty" if self.pages_in_use else "zero" if self.scrubbed_at_ns is None else "scrubbed"
        if self.region.measured and self.pages_in_use:
            state = "image"
        return f"{state}, locked" if self.locked else state


def region_states(moment: Moment) -> list[RegionState]:
    """Return the states of all regions, in order of address."""
    return _states(moment, moment.machine.ram.nonzero_pages(), _scrubs(moment))


def _states(moment: Moment, used: list[int], scrubs: list[Scrubbed]) -> list[RegionState]:
    pages = _mapped(moment)
    is_locked = moment.enclave is not None and bool(moment.enclave.block.status & Status.ARCH_LOCKED)
    found = []
    for region in moment.program.regions:
        in_use = len(_of(used, region.base, region.end))
        at_ns = next((e.at_ns for e in scrubs if e.base <= region.base and e.base + e.size >= region.end), None)
        rights, user = _rights(region, pages)
        ring = 3 if user else 0
        locked = is_locked and rights == region.rights and ring == region.ring
        found.append(RegionState(region, in_use, at_ns, rights, user, locked))
    return found


def memory_view(moment: Moment) -> View:
    """Return a table of the regions, then the heat map."""
    ram = moment.machine.ram
    pages, scrubs = ram.nonzero_pages(), _scrubs(moment)
    states = _states(moment, pages, scrubs)
    rows: list[Row] = [title("region               base      size   mapped  state")]
    rows += [_region_row(state) for state in states]
    rows += [EMPTY, title("pages"), note(LEGEND)]
    rows += _heat(moment, _marks(ram, pages, scrubs, states), pages, states)
    return View(tuple(rows), None, f"{plural(len(pages), 'page')} in use")


def _region_row(state: RegionState) -> Row:
    region = state.region
    rights = "none" if state.rights is None else f"{state.rights} {'u' if state.user else 's'}"
    meaning = Meaning.BAD if state.rights == "rwx" else Meaning.PLAIN
    words = state.words
    look = Meaning.GOOD if words.startswith(("scrubbed", "zero")) else Meaning.PLAIN
    in_use = plural(state.pages_in_use, "page") if state.pages_in_use else ""
    parts: list[Part] = [
        (f"{region.name:<20}", Meaning.NAME),
        (f" {region.base:08x} {-(-region.size // 1024):>5}K  ", Meaning.DIM),
        (f"{rights:<7}", meaning),
        (f" {words:<16}", look),
        (f" {in_use}", Meaning.DIM),
    ]
    return Row(tuple(parts), Target(memory=region.base, size=region.size))


def _heat(moment: Moment, marks: str, used: list[int], states: list[RegionState]) -> Iterator[Row]:
    """Yield the heat map. `marks` has a character for each page of RAM; `used` are the pages in use, in order."""
    end = 0
    for state in states:
        yield from _between(_of(used, end + PAGE_SIZE - 1, state.region.base & -PAGE_SIZE), moment)
        end = state.region.end
        yield Row(((f"{state.region.name}", Meaning.NAME),), Target(memory=state.region.base, size=state.region.size))
        for base in range(state.region.base, end, _PER_ROW * PAGE_SIZE):
            stop = min(base + _PER_ROW * PAGE_SIZE, end)
            part = marks[base // PAGE_SIZE : -(-stop // PAGE_SIZE)]
            meaning = Meaning.PLAIN if part.strip(".o") else Meaning.DIM
            yield Row(((f"  {base:08x} ", Meaning.DIM), (part, meaning)), Target(memory=base, size=stop - base))
    yield from _between(used[bisect_left(used, end) :], moment)


def _of(pages: list[int], base: int, end: int) -> list[int]:
    """Return those of some ordered pages that overlap a range."""
    return pages[bisect_left(pages, base & -PAGE_SIZE) : bisect_left(pages, end)]


def _between(pages: list[int], moment: Moment) -> Iterator[Row]:
    """Yield runs of used pages outside all regions. A sound enclave has none."""
    meaning = Meaning.PLAIN if moment.enclave is None else Meaning.BAD
    known = set(pages)
    starts = [page for page in pages if page - PAGE_SIZE not in known]
    ends = [page + PAGE_SIZE for page in pages if page + PAGE_SIZE not in known]
    for base, end in zip(starts, ends, strict=True):
        words = f"  {base:08x}-{end - 1:08x} in use, and in no region"
        yield Row(((words, meaning),), Target(memory=base, size=end - base))


def _marks(ram: Ram, used: list[int], scrubs: list[Scrubbed], states: list[RegionState]) -> str:
    """Return a character for each page of RAM, as in `LEGEND`."""
    found = bytearray(b"." * (ram.size // PAGE_SIZE))
    for scrub in scrubs:
        first, last = scrub.base // PAGE_SIZE, (scrub.base + scrub.size - 1) // PAGE_SIZE
        found[first : last + 1] = b"o" * (last + 1 - first)
    for page in used:
        zeros = ram.read(page, PAGE_SIZE).count(0)
        found[page // PAGE_SIZE] = ord("0") + min(9, 1 + (PAGE_SIZE - zeros) * 9 // PAGE_SIZE)
    for state in states:
        if state.rights is not None and "w" not in state.rights:
            for page in _of(used, state.region.base, state.region.end):
                found[page // PAGE_SIZE] = ord("L")
    return found.decode("ascii")


def _scrubs(moment: Moment) -> list[Scrubbed]:
    """Return the last scrubs, the latest first, only the latest for each range."""
    places = moment.log.of_kind("scrubbed", moment.seen)[-_MAX_SCRUBS:]
    found: dict[tuple[int, int], Scrubbed] = {}
    for seq in reversed(places):
        event = moment.log.events[seq]
        if isinstance(event, Scrubbed) and event.verified:
            found.setdefault((event.base, event.size), event)
    return list(found.values())


def _mapped(moment: Moment) -> list[Mapping]:
    machine = moment.machine
    if machine.cpu.memory.mode is not Mode.FOUR_LEVEL:
        return []
    return list(mappings(machine.ram, machine.cpu.registers.cr[3]))


def _rights(region: Region, pages: list[Mapping]) -> tuple[str | None, bool]:
    found = {
        (f"r{'w' if page.writable else '-'}{'x' if page.executable else '-'}", page.user)
        for page in pages
        if page.physical < region.end and region.base < page.physical + page.size
    }
    if len(found) == 1:
        return found.pop()
    return ("differ", any(user for _, user in found)) if found else (None, False)
