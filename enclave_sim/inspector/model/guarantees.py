"""Guarantees: checks of the run so far, and the reports of a full verification."""

from collections.abc import Iterator
from dataclasses import dataclass

from enclave_sim import events
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.guarantees.report import Report
from enclave_sim.guarantees.watchers.architecture import architecture_faults, table_faults
from enclave_sim.guarantees.watchers.page_tables import faults
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import EMPTY, Meaning, Row, Target, View, note, title
from enclave_sim.memory_map import read_by_guests
from enclave_sim.specification import Status
from machine.architecture.paging import Mode


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check."""

    what: str
    faults: tuple[str, ...]
    """The faults found."""
    looked_at: str
    """The judged subject and time, or the time when it will be judged."""
    judged: bool = True
    """False if there was nothing to judge so far."""
    event: int | None = None
    """The relevant event."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The state of a verification."""

    going_on: str = ""
    """The current activity; empty before it starts and when it is over."""
    reports: tuple[Report, ...] = ()
    failed: str = ""
    """The reason why it ended early."""


def checks(moment: Moment, enclave: Enclave) -> list[Check]:
    """Check the events so far and the current state. This proves no guarantee: that takes more runs."""
    return [
        _scrubs(moment),
        _wakes(moment),
        _tables(moment, enclave),
        _architecture(moment, enclave),
        _attestation(moment),
        _residue(enclave),
    ]


def guarantee_view(moment: Moment, verification: Verification) -> View:
    """Return the checks of this run, then the reports of the verification."""
    if moment.enclave is None:
        return View((note("only an enclave has guarantees; this is a bare kernel"),))
    found = checks(moment, moment.enclave)
    rows = [title("of this run, so far"), *(line for one in found for line in _check_rows(one)), EMPTY]
    rows += [title("verification: V runs the payload many times, in the background"), *_report_rows(verification)]
    return View(tuple(rows), None, verification.going_on)


def _check_rows(one: Check) -> Iterator[Row]:
    mark, meaning = ("BROKEN", Meaning.BAD) if one.faults else ("holds ", Meaning.GOOD)
    if not one.judged:
        mark, meaning = "-     ", Meaning.DIM
    parts = ((f"{mark} ", meaning), (f"{one.what:<29}", Meaning.PLAIN), (one.looked_at, Meaning.DIM))
    yield Row(parts, Target(event=one.event))
    yield from (Row(((f"    {fault}", Meaning.BAD),)) for fault in one.faults)


def _report_rows(verification: Verification) -> Iterator[Row]:
    if verification.failed:
        yield Row(((verification.failed, Meaning.BAD),))
    if not verification.reports and not verification.going_on:
        yield note("not begun")
    for report in verification.reports:
        meaning = Meaning.GOOD if report.holds else Meaning.BAD
        looked = ", ".join(f"{name} {value}" for name, value in report.looked_at.items())
        yield Row(
            ((f"{report.verdict:<6} ", meaning), (f"{report.guarantee:<17}", Meaning.PLAIN), (looked, Meaning.DIM))
        )
        if report.no_evidence and not report.findings:
            yield note(f"    {report.no_evidence}")
        for finding in report.findings:
            yield from (Row(((f"    {line}", Meaning.BAD),)) for line in finding.lines())
        yield from (Row(((f"    {line}", Meaning.PLAIN),)) for line in report.picture)
    if verification.going_on:
        yield note(f"{verification.going_on} ...")


def _scrubs(moment: Moment) -> Check:
    what, places = "every scrub left zeros", moment.log.of_kind("scrubbed", moment.seen)
    if not places:
        return Check(what, (), "judged at every scrub, first in MEM_MAP", judged=False)
    bad = [seq for seq in places if not _verified(moment, seq)]
    words = f"{len(places)} read back, the last at {_at(moment, places[-1])}"
    return Check(what, tuple(f"event {seq}" for seq in bad), words, event=bad[0] if bad else places[-1])


def _at(moment: Moment, seq: int) -> str:
    return f"{moment.log.events[seq].at_ns:,} ns"


def _verified(moment: Moment, seq: int) -> bool:
    event = moment.log.events[seq]
    return isinstance(event, events.Scrubbed) and event.verified


def _wakes(moment: Moment) -> Check:
    what = "timer wakes have one latency"
    found = [moment.log.events[seq] for seq in moment.log.of_kind("woken", moment.seen)]
    wakes = [e for e in found if isinstance(e, events.Woken) and e.latency_ns is not None]
    if not wakes:
        return Check(what, (), "judged at every wake by the timer", judged=False)
    latencies = " ".join(f"{value} ns" for value in sorted({e.latency_ns for e in wakes if e.latency_ns is not None}))
    words = f"{latencies}: {len(wakes)} wakes, the last at {wakes[-1].at_ns:,} ns"
    return Check(what, (latencies,) if " ns " in latencies else (), words, event=wakes[-1].seq)


def _tables(moment: Moment, enclave: Enclave) -> Check:
    what, machine = "page tables are sound", enclave.machine
    if not _is_locked(moment, enclave) or machine.cpu.memory.mode is not Mode.FOUR_LEVEL:
        return Check(what, (), _while_locked(moment), judged=False)
    read = read_by_guests(enclave.configuration.engine)
    cr3 = machine.cpu.registers.cr[3]
    return Check(what, tuple(faults(machine.ram, cr3, read)), f"those at {cr3:#x}, now")


def _architecture(moment: Moment, enclave: Enclave) -> Check:
    what, machine = "the architecture is locked", enclave.machine
    if not _is_locked(moment, enclave):
        return Check(what, (), _while_locked(moment), judged=False)
    tables = "IDT, GDT, TSS, CR0, CR4, EFER"
    if machine.cpu.registers.cpl == 3:
        return Check(what, architecture_faults(machine), f"{tables}, RFLAGS; now, ring 3")
    return Check(what, table_faults(machine), f"{tables}; now, ring 0")


def _is_locked(moment: Moment, enclave: Enclave) -> bool:
    began = moment.log.last("annihilation_began", moment.seen)
    return bool(enclave.block.status & Status.ARCH_LOCKED) and began is None


def _while_locked(moment: Moment) -> str:
    began = moment.log.last("annihilation_began", moment.seen)
    if began is None:
        return "judged from the end of PROT_ENTRY on"
    return f"until annihilation began at {began.at_ns:,} ns"


def _attestation(moment: Moment) -> Check:
    what, decided = "the evidence was accepted", moment.log.last("attestation_decided", moment.seen)
    if not isinstance(decided, events.AttestationDecided):
        return Check(what, (), "judged before every cycle", judged=False)
    words = f"cycle {decided.cycle}: {decided.verdict}, at {decided.at_ns:,} ns"
    bad = () if decided.verdict == "accepted" else (decided.message,)
    return Check(what, bad, words, event=decided.seq)


def _residue(enclave: Enclave) -> Check:
    what = "nothing is left in RAM"
    if not enclave.dormant:
        return Check(what, (), "judged when the enclave is dormant", judged=False)
    residue = enclave.scan_residue()
    bad = tuple(f"{len(part.data)} bytes at {part.base:#x} in {part.region}" for part in residue.ranges)
    return Check(what, bad, f"{residue.scanned_bytes:,} bytes scanned, now")
