"""Guarantees: checks of the run so far, and the reports of a full verification."""

from collections.abc import Iterator
from dataclasses import dataclass

from enclave_sim import events
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.guarantees.report import Report
from enclave_sim.guarantees.watchers.architecture import architecture_faults
from enclave_sim.guarantees.watchers.page_tables import faults, staging
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import EMPTY, Meaning, Row, Target, View, note, title
from enclave_sim.specification import EngineName, Status
from machine.architecture.paging import Mode


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check."""

    what: str
    faults: tuple[str, ...]
    """The faults that were found."""
    looked_at: str = ""
    """The subject of the check, in words; empty if there is nothing to check yet."""
    event: int | None = None
    """The event at which it went wrong."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The state of a verification."""

    going_on: str = ""
    """The current activity; empty before it starts and when it is over."""
    reports: tuple[Report, ...] = ()
    failed: str = ""
    """The reason why it ended early."""


def checks(moment: Moment, enclave: Enclave) -> list[Check]:
    """Check the events so far and the current state. This proves no guarantee, which takes other runs."""
    return [
        _scrubs(moment),
        _wakes(moment),
        _tables(enclave),
        _architecture(enclave),
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
    if not one.looked_at:
        mark, meaning = "-     ", Meaning.DIM
    looked = one.looked_at or "nothing to check yet"
    yield Row(
        ((f"{mark} ", meaning), (f"{one.what:<34}", Meaning.PLAIN), (looked, Meaning.DIM)), Target(event=one.event)
    )
    yield from (Row(((f"    {fault}", Meaning.BAD),)) for fault in one.faults)


def _report_rows(verification: Verification) -> Iterator[Row]:
    if verification.failed:
        yield Row(((verification.failed, Meaning.BAD),))
    if not verification.reports and not verification.going_on:
        yield note("not begun")
    for report in verification.reports:
        mark, meaning = ("holds ", Meaning.GOOD) if report.holds else ("BROKEN", Meaning.BAD)
        looked = ", ".join(f"{name} {value}" for name, value in report.looked_at.items())
        yield Row(((f"{mark} ", meaning), (f"{report.guarantee:<17}", Meaning.PLAIN), (looked, Meaning.DIM)))
        for finding in report.findings:
            yield from (Row(((f"    {line}", Meaning.BAD),)) for line in finding.lines())
        yield from (Row(((f"    {line}", Meaning.PLAIN),)) for line in report.picture)
    if verification.going_on:
        yield note(f"{verification.going_on} ...")


def _scrubs(moment: Moment) -> Check:
    places = moment.log.of_kind("scrubbed", moment.seen)
    bad = [seq for seq in places if not _verified(moment, seq)]
    words = f"{len(places)} scrubs read back" if places else ""
    return Check("every scrub left zeros", tuple(f"event {seq}" for seq in bad), words, bad[0] if bad else None)


def _verified(moment: Moment, seq: int) -> bool:
    event = moment.log.events[seq]
    return isinstance(event, events.Scrubbed) and event.verified


def _wakes(moment: Moment) -> Check:
    found = [moment.log.events[seq] for seq in moment.log.of_kind("woken", moment.seen)]
    latencies = sorted({e.latency_ns for e in found if isinstance(e, events.Woken) and e.latency_ns is not None})
    if not latencies:
        return Check("timer wakes have one latency", ())
    words = " ".join(f"{value} ns" for value in latencies)
    return Check("timer wakes have one latency", (words,) if len(latencies) > 1 else (), words)


def _tables(enclave: Enclave) -> Check:
    machine = enclave.machine
    locked = enclave.block.status & Status.ARCH_LOCKED
    if not locked or machine.cpu.memory.mode is not Mode.FOUR_LEVEL:
        return Check("page tables are sound", ())
    native = staging() if enclave.configuration.engine is EngineName.NATIVE else None
    cr3 = machine.cpu.registers.cr[3]
    return Check("page tables are sound", tuple(faults(machine.ram, cr3, native)), f"those at {cr3:#x}")


def _architecture(enclave: Enclave) -> Check:
    machine = enclave.machine
    if machine.cpu.registers.cpl != 3:
        return Check("the architecture is locked", ())
    return Check(
        "the architecture is locked", architecture_faults(machine), "IDT, GDT, TSS, control registers, in ring 3"
    )


def _attestation(moment: Moment) -> Check:
    decided = moment.log.last("attestation_decided", moment.seen)
    if not isinstance(decided, events.AttestationDecided):
        return Check("the evidence was accepted", ())
    words = f"cycle {decided.cycle}: {decided.verdict}"
    bad = () if decided.verdict == "accepted" else (decided.message,)
    return Check("the evidence was accepted", bad, words, decided.seq)


def _residue(enclave: Enclave) -> Check:
    if not enclave.dormant:
        return Check("nothing is left in RAM", ())
    residue = enclave.scan_residue()
    bad = tuple(f"{len(part.data)} bytes at {part.base:#x} in {part.region}" for part in residue.ranges)
    return Check("nothing is left in RAM", bad, f"{residue.scanned_bytes:,} bytes scanned")
