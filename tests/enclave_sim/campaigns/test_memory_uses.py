"""Activation of faults in RAM, compared with runs: a bit that nothing reads changes nothing."""

import random
from collections import Counter

import pytest

from enclave_sim.campaigns import AtInstruction, AtTime, Bench, Injection, MemoryBits, Outcome, Record
from enclave_sim.campaigns.golden import Moment
from enclave_sim.campaigns.memory_uses import Use
from enclave_sim.events import Scrubbed
from enclave_sim.memory_map import region, regions

WINDOW = range(116_900, 116_960)
"""Instructions of the golden run: an interrupt, pushes, pops, a scrub."""


@pytest.fixture(scope="module")
def bench() -> Bench:
    made = Bench("beacon")
    made.golden.go_to(Moment(instructions=WINDOW.start))
    now = made.enclave.machine.clock.now_ns
    made.prepare([now, now + len(WINDOW)])
    return made


def stack_bytes(bench: Bench) -> list[int]:
    """Bytes of the stacks that the window uses, and their neighbours."""
    found: set[int] = set()
    machine = bench.enclave.machine
    for at in WINDOW[::6]:
        bench.golden.go_to(Moment(instructions=at))
        found.update(range(machine.cpu.registers.rsp - 12, machine.cpu.registers.rsp + 12, 4))
    return sorted(found)


def unused(bench: Bench, injection: Injection) -> str:
    """The reason for which a run is not made; empty if it must be made."""
    record = bench.run(injection)
    return record.evidence[0] if record.outcome is Outcome.NOT_ACTIVATED else ""


def check(bench: Bench, injection: Injection, known: str) -> None:
    """Make a run that need not be made: it must be the golden run."""
    bench.makes_all = True
    try:
        made = bench.run(injection)
    finally:
        bench.makes_all = False
    assert made.same, injection
    assert made.outcome is Outcome.MASKED or made.guarantees == ("isolated",), injection  # judges look at unused gates
    left = made.evidence[-1:] == ("the inverted bits themselves are still there at the end",)
    assert left == known.endswith("still there"), injection


@pytest.mark.slow
def test_what_is_not_activated_changes_nothing_in_a_window(bench: Bench) -> None:
    injections = [
        Injection(MemoryBits(address, 1 << address % 8), AtInstruction(at))
        for address in stack_bytes(bench)
        for at in WINDOW[::7]
    ]
    known = {one: unused(bench, one) for one in injections}
    assert {reason[:12] for reason in known.values()} == {"", "the memory i"}
    for one, reason in random.Random(1).sample([item for item in known.items() if item[1]], 12):
        check(bench, one, reason)


@pytest.mark.long
def test_what_is_not_activated_changes_nothing_anywhere() -> None:
    bench, chance = Bench("beacon"), random.Random(2)
    bench.prepare([0, bench.golden.end_ns])
    counts = dict.fromkeys(Use, 0)
    for where in regions():
        for _ in range(20):
            at_ns, address = chance.randrange(bench.golden.end_ns), chance.randrange(where.base, where.end)
            injection = Injection(MemoryBits(address, 1 << chance.randrange(8)), AtTime(at_ns))
            reason = unused(bench, injection)
            counts[Use.READ if not reason else Use.LEFT if "still there" in reason else Use.OVERWRITTEN] += 1
            if reason:
                check(bench, injection, reason)
    assert min(counts.values()) > 20


def summary(record: Record) -> tuple[object, ...]:
    """What a run has shown, but for isolation: its judges look at gates that nothing uses, too."""
    return tuple(name for name in record.guarantees if name != "isolated"), record.cause, record.detail


def compare(window: range, addresses: list[int]) -> tuple[int, int]:
    """Compare pilots with every run of a window; return the numbers of pilots and of runs."""
    bench = Bench("beacon")
    bench.golden.go_to(Moment(instructions=window.start))
    now = bench.enclave.machine.clock.now_ns
    bench.prepare([now, now + len(window)])
    classes = bench.memory_uses.classes(addresses, window)
    by_pilots, by_force, pilots = Counter[object](), Counter[object](), 0
    for one in classes:
        pilots += one.read
        pilot = bench.run(Injection(MemoryBits(int(one.target), 1 << 3), AtInstruction(one.last)))
        assert one.read == (pilot.outcome is not Outcome.NOT_ACTIVATED), one
        result = summary(pilot) if one.read else ((), bench.golden.result.outcome, bench.golden.result.detail)
        by_pilots[one.target, result] += one.weight
    bench.makes_all = True
    for address in addresses:
        for at in window:
            run = bench.run(Injection(MemoryBits(address, 1 << 3), AtInstruction(at)))
            by_force[address, summary(run)] += 1
    assert by_pilots == by_force
    return pilots, sum(by_force.values())


@pytest.mark.slow
def test_pilots_with_weights_equal_brute_force() -> None:
    stack = region("call_stack")
    pilots, runs = compare(range(116_940, 116_955), list(range(stack.end - 72, stack.end, 24)))
    assert runs == 15 * 3
    assert pilots < runs / 3


@pytest.mark.long
def test_pilots_with_weights_equal_brute_force_for_code_and_data_and_stacks() -> None:
    stack, text, data = region("call_stack"), region("text"), region("data")
    bench = Bench("beacon")
    bench.golden.go_to(Moment(instructions=117_000))
    rip = bench.enclave.machine.cpu.linear_rip
    assert rip in range(text.base, text.end)
    addresses = [*range(stack.end - 96, stack.end, 7), *range(rip - 20, rip + 40, 3), *range(data.base, data.end, 997)]
    pilots, runs = compare(range(116_920, 116_980), addresses)
    assert pilots < runs / 3


def test_the_use_that_decides_is_the_next_one(bench: Bench) -> None:
    """At each moment of the window, of bytes that it pushes and pops: found by single steps."""
    machine, uses = bench.enclave.machine, bench.memory_uses
    bench.golden.go_to(Moment(instructions=WINDOW.start))
    seen: list[tuple[int, bool, int, int]] = []  # only what instructions do, which is certain
    end = machine.cpu.watch_memory(
        range(machine.ram.size), lambda writes, at, size: seen.append((before, writes, at, size))
    )
    moments = []
    while (before := machine.cpu.hook.retired) < WINDOW.stop:
        moments.append((before, machine.clock.now_ns))
        bench.enclave.step()
    end()
    stack, checked = region("call_stack"), {False: 0, True: 0}
    for instructions, at_ns in moments:
        for address in range(stack.end - 96, stack.end, 8):
            following = [(when, writes) for when, writes, at, size in seen if at <= address < at + size]
            following = [one for one in following if one[0] >= instructions]
            if following and uses.of(address, instructions, at_ns) is not (
                expected := Use.OVERWRITTEN if following[0][1] else Use.READ
            ):
                # A device or the processor has come first, which the trace above does not have.
                between = uses.of(address, following[0][0], at_ns)
                assert between is expected, (instructions, hex(address))
            elif following:
                checked[following[0][1]] += 1
    assert min(checked.values()) > 10


def test_a_bit_that_nothing_reads_is_not_activated_whether_it_is_left_or_overwritten(bench: Bench) -> None:
    at = AtTime(bench.golden.span_of("EXEC_LOOP").start)
    left = bench.run(Injection(MemoryBits(region("staging").end + 0x100, 0x0101), at))
    assert left.outcome is Outcome.NOT_ACTIVATED
    assert left.evidence == ("nothing reads the memory before the end, where the inverted bits are still there",)
    gone = bench.run(Injection(MemoryBits(region("arena").end - 8, 1), at))
    assert (gone.outcome, gone.evidence) == (Outcome.NOT_ACTIVATED, ("the memory is overwritten before it is read",))
    both = bench.run(Injection(MemoryBits(region("arena").end - 8, 1 | 1 << 63), at))
    assert both.evidence == gone.evidence


def test_a_fault_that_guests_page_tables_or_fetches_may_see_is_activated(bench: Bench) -> None:
    uses, golden = bench.memory_uses, bench.golden
    bench.golden.go_to(Moment(instructions=WINDOW.start))
    machine = bench.enclave.machine
    now = WINDOW.start, machine.clock.now_ns
    assert uses.of(machine.cpu.linear_rip, *now) is Use.READ
    assert uses.of(region("page_tables").base + 8, *now) is Use.READ
    assert uses.of(region("heap").base + 5, *now) is Use.READ
    assert uses.of(region("heap").base + 5, golden.instructions - 1, golden.end_ns - 1) is Use.LEFT


def test_a_scrub_that_is_verified_reads_what_it_has_erased(bench: Bench) -> None:
    scrubbed = next(e for e in bench.golden.events if isinstance(e, Scrubbed) and e.region == "guest_stack")
    record = bench.run(Injection(MemoryBits(region("heap").base, 1), AtTime(scrubbed.at_ns)))
    assert (record.outcome, record.cause) == (Outcome.DETECTED, "KERNEL_FAULT")


def test_inverted_bits_in_scrubbed_memory_are_no_trace_of_the_enclave() -> None:
    """They come between the scrub and the check at the end of the cycle; the guest of the next one may read them."""
    bench = Bench("counter", cycles=2)
    events = (e for e in bench.golden.events if isinstance(e, Scrubbed))
    scrubbed = next(e for e in events if (e.region, e.cause) == ("heap", "cycle"))
    fault = MemoryBits(region("heap").end - 4096, 0x81)
    record = bench.run(Injection(fault, AtTime(scrubbed.at_ns + 1)))
    assert (record.outcome, record.guarantees) == (Outcome.MASKED, ())
