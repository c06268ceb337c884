"""The goals that a user can type: their syntax and their meaning."""

from dataclasses import dataclass

from enclave_sim.enclave.kernel.program import Program
from enclave_sim.errors import ConfigurationError
from enclave_sim.events import KINDS
from enclave_sim.inspector.session.inspected_run import InspectedRun
from enclave_sim.similar import did_you_mean
from enclave_sim.time_travel.link import SCHEME, Link, follow_link
from enclave_sim.times import UNITS, nanoseconds

HELP = """#120                 an event by its number
host_called          the next event of a kind
host_call, 0x105020  a symbol of the kernel, an address that is executed
traps.c:37           a line of the kernel's source
1_293_902 ns         a virtual time; also us, ms, s, min, h
enclave-sim:...      a link"""


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal. Exactly one field is given."""

    seq: int | None = None
    kind: str | None = None
    address: int | None = None
    at_ns: int | None = None
    link: Link | None = None


def read_goal(text: str, program: Program) -> Goal:
    """Parse the user's text. Raises ConfigurationError if it is not a goal."""
    words = text.strip()
    if words.startswith(SCHEME):
        return Goal(link=Link.parse(words))
    if words.startswith("#"):
        if not words[1:].replace(",", "").isdecimal():
            raise ConfigurationError(f"{words!r} is not the number of an event, such as #120")
        return Goal(seq=int(words[1:].replace(",", "")))
    if words[:1].isdecimal() and words.endswith(tuple(UNITS)):
        return Goal(at_ns=nanoseconds(words, None))
    if words in KINDS:
        return Goal(kind=words)
    return Goal(address=read_address(words, program))


def read_address(text: str, program: Program) -> int:
    """Parse an address, a symbol, a region of the memory map or a source line; `+` adds. Raises ConfigurationError."""
    name, _, offset = text.strip().partition("+")
    base = _base(name.strip(), program)
    try:
        return base + (int(offset, 0) if offset else 0)
    except ValueError:
        raise ConfigurationError(f"{offset!r} after + is not a number") from None


def _base(name: str, program: Program) -> int:
    file, colon, line = name.partition(":")
    if colon and line.isdecimal():
        found = program.lines.addresses_of(file, int(line))
        if not found:
            raise ConfigurationError(f"line {line} of {file} has no code")
        return found[0]
    known = {region.name: region.base for region in reversed(program.regions)}
    if name in program.symbols:
        return program.symbols[name]
    if name in known:
        return known[name]
    try:
        address = int(name, 0)
    except ValueError:
        hint = did_you_mean(name, (*program.symbols, *known, *KINDS))
        words = f"{name!r} is not an address, symbol, region, line, time or kind of event; {hint}"
        raise ConfigurationError(words.rstrip("; ")) from None
    if not 0 <= address < 1 << 64:
        raise ConfigurationError(f"{name} is not an address of 64 bits")
    return address


def go(run: InspectedRun, goal: Goal, *, back: bool) -> object:
    """Go to a goal. `back` is the direction of the search; a numbered event, a time or a link needs none."""
    if goal.seq is not None:
        if goal.seq < len(run.known):
            return run.go_to_event(goal.seq)
        return run.next_event(lambda event: event.seq == goal.seq)
    if goal.link is not None:
        return follow_link(run, goal.link).position
    if goal.at_ns is not None:
        past = goal.at_ns < run.now.at_ns
        return run.reverse_to(at_ns=goal.at_ns) if past else run.run_to(at_ns=goal.at_ns)
    way = run.reverse_to if back else run.run_to
    return way(event=goal.kind) if goal.kind is not None else way(address=goal.address)
