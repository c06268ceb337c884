"""Attestation on another machine: the kernel on QEMU, with swtpm connected to QEMU's CRB. SeaBIOS has started that TPM
and measured into its own PCRs before the kernel starts, and GRUB has made the boot information. There is no port to a
verifier, so the kernel prints its evidence on the serial line, with a nonce of zeros. The same TPM then serves our
plain PC with the same image: measurements, keys and every interrupt agree.
"""

import functools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pytest

import firmware
import payloads
from enclave_sim.attestation import (
    NO_TRUST_ANCHORS,
    Challenge,
    Evidence,
    Position,
    ReferenceValues,
    Verdict,
    key_name,
    verify,
)
from enclave_sim.attestation.formats.event_log import PcrEvent, initial_pcr, parse_event_log
from enclave_sim.enclave.attester.expected_measurements import attestation_key_names, kernel_image
from enclave_sim.recording.outcome.residue import Residue
from machine.machine import Outcome
from machine.tpm.backend import TpmBackend
from machine.tpm.model import TpmModel
from machine.tpm.swtpm import Swtpm
from tests.enclave_sim.attestation import tpm_tools
from tests.firmware.plain_pc import command_line
from tests.oracle import ours, qemu, swtpm
from tests.oracle.image import Image
from tests.oracle.lives import ANNIHILATION, USABLE, available, kernel_without, residue
from tests.oracle.records import Run
from tests.oracle.serial_evidence import NONCE, SerialEvidence, parse_serial_evidence

pytestmark = [pytest.mark.slow, pytest.mark.tpm]
needs_swtpm = pytest.mark.skipif(swtpm.MISSING, reason="swtpm is missing: `make oracle` installs it")

CYCLES, LIMIT_NS = 2, 20_000_000_000
LOADER, KERNEL, CONFIGURATION, PAYLOADS, ANCHORS, RUNTIME = 8, 9, 10, 11, 12, 13
MEASURED = (LOADER, KERNEL, CONFIGURATION, PAYLOADS, ANCHORS, RUNTIME)
BIOS = range(8)
PAYLOAD = payloads.read_flat("surveyor")

# SeaBIOS keeps the log of its own measurements at the end of RAM, and says so in its memory map.
USABLE_BESIDE_A_TPM = [USABLE[0], range(USABLE[1].start, USABLE[1].stop - 0x1_1000)]


def image_of(attestation: str, kernel: bytes | None = None) -> Image:
    words = (f"attestation={attestation}", f"cycles={CYCLES}", "wake_ns=50000")
    return Image(kernel or firmware.built_in().image, command_line(PAYLOAD, *words), (("payload0", PAYLOAD),))


@dataclass(frozen=True)
class Lives:
    """One image on both machines, with the same swtpm."""

    theirs: Run
    ours: Run
    left_on_qemu: Residue
    pcrs: dict[int, bytes]
    """The PCRs after QEMU's processor had halted for good."""
    ak_names: list[bytes]
    """The keys as the TPM gives them to a client other than the kernel."""


@functools.cache
def lives(attestation: str) -> Lives:
    image = image_of(attestation)
    with tempfile.TemporaryDirectory() as name:
        with swtpm.running(Path(name)) as tpm:
            theirs = qemu.run(image, memory=True, options=tpm.options)
            pcrs = tpm.pcrs((*BIOS, *MEASURED))
        with swtpm.running(Path(name), commands=True) as tpm:
            client = Swtpm(tpm.data, tpm.control)
            try:
                mine, names = on_our_pc(image, client), attestation_key_names(client)
            finally:
                client.close()
    left = residue(theirs, image, USABLE_BESIDE_A_TPM)
    return Lives(replace(theirs, memory=None), mine, left, pcrs, names)


def on_our_pc(image: Image, tpm: TpmBackend) -> Run:
    machine, recording = ours.start(image)
    machine.chipset.attach_tpm(tpm)
    assert machine.run(LIMIT_NS) is Outcome.HALTED
    return Run(bytes(machine.uart.transmitted), tuple(recording.records), "halted")


def printed(run: Run) -> SerialEvidence:
    return parse_serial_evidence(run.lines)


def events(evidence: Evidence) -> dict[int, PcrEvent]:
    """The events by PCR; with one payload, there is one for each."""
    found = parse_event_log(evidence.event_log).events
    assert len(found) == len({event.pcr for event in found})
    return {event.pcr: event for event in found}


def reference() -> ReferenceValues:
    """All that is known in advance; the boot information is GRUB's, so its digest is taken from the log."""
    life = lives("record")
    return ReferenceValues(
        firmware=frozenset({sha256(kernel_image(firmware.built_in())).hexdigest()}),
        loader_information=frozenset({events(printed(life.theirs).evidence[0])[LOADER].digest.hex()}),
        configurations=frozenset({sha256(image_of("record").command_line.encode()).hexdigest()}),
        payloads=frozenset({sha256(PAYLOAD).hexdigest()}),
        trust_anchors=frozenset({NO_TRUST_ANCHORS}),
        ak_names=frozenset(name.hex() for name in life.ak_names),
    )


def judged(evidence: Evidence, after: tuple[Position, ...] = ()) -> Verdict:
    return verify(evidence, Challenge(NONCE, evidence.cycle, after), reference())


# What QEMU's enclave shows.


@pytest.mark.parametrize("lines", [["LOG 00000000"], ["CYCLE 00000000", "LOG 00000004", "00000000"]])
def test_evidence_that_is_printed_in_another_way_is_noticed(lines: list[str]) -> None:
    with pytest.raises((ValueError, IndexError)):
        parse_serial_evidence(lines)


@needs_swtpm
def test_the_evidence_of_every_cycle_on_qemu_is_accepted() -> None:
    shown = printed(lives("record").theirs).evidence
    assert [evidence.cycle for evidence in shown] == list(range(CYCLES))
    after: tuple[Position, ...] = ()
    for evidence in shown:
        verdict = judged(evidence, after)
        assert verdict.failures == ()
        assert verdict.position is not None
        after = (verdict.position,)


@needs_swtpm
def test_a_quote_of_qemu_is_for_its_own_cycle_and_no_other() -> None:
    first, second = printed(lives("record").theirs).evidence
    verdict = judged(replace(second, quotes=first.quotes))
    assert [check.name for check in verdict.failures] == ["quote 1 extra data"]


@needs_swtpm
@pytest.mark.skipif(bool(tpm_tools.MISSING), reason=f"not installed: {', '.join(tpm_tools.MISSING)}")
def test_tpm2_tools_accept_the_evidence_of_qemu(tmp_path: Path) -> None:
    """Nothing of ours but the kernel is involved."""
    for evidence in printed(lives("record").theirs).evidence:
        done = tpm_tools.checkquote(tmp_path, evidence, 0, evidence.quotes[0].public)
        assert done.returncode == 0, done.stderr
    (tmp_path / "log").write_bytes(evidence.event_log)
    read = tpm_tools.run("tpm2_eventlog", "log", folder=tmp_path)
    assert read.returncode == 0, read.stderr
    assert tpm_tools.replayed(read.stdout) == parse_event_log(evidence.event_log).replay()


@needs_swtpm
def test_what_is_measured_as_loader_information_is_what_grub_has_given() -> None:
    """A kernel that does not scrub its data leaves the boot information readable."""
    image = image_of("record", kernel_without("dormant.S", "scrub   DATA_BASE, DATA_SIZE"))
    with tempfile.TemporaryDirectory() as name, swtpm.running(Path(name)) as tpm:
        run = qemu.run(image, memory=True, options=tpm.options)
    assert run.memory is not None
    at = image.symbols["boot_information"]
    size = int.from_bytes(run.memory[at : at + 4], "little")
    assert events(printed(run).evidence[0])[LOADER].digest == sha256(run.memory[at : at + size]).digest()
    assert list(available(run.memory, at)) == USABLE_BESIDE_A_TPM


# Both machines.


@needs_swtpm
def test_both_machines_measure_the_same_but_for_the_loader_information() -> None:
    life = lives("record")
    for theirs, mine in zip(printed(life.theirs).evidence, printed(life.ours).evidence, strict=True):
        their_log, our_log = parse_event_log(theirs.event_log), parse_event_log(mine.event_log)
        assert their_log.header == our_log.header
        assert [but_for_the_loader(event) for event in their_log.events] == [
            but_for_the_loader(event) for event in our_log.events
        ]
        assert events(theirs)[LOADER].digest != events(mine)[LOADER].digest


def but_for_the_loader(event: PcrEvent) -> PcrEvent:
    return event._replace(digests=()) if event.pcr == LOADER else event


@needs_swtpm
def test_the_model_of_a_tpm_has_the_event_log_of_swtpm() -> None:
    mine = printed(on_our_pc(image_of("record"), TpmModel(bytes(32)))).evidence
    for evidence, theirs in zip(mine, printed(lives("record").ours).evidence, strict=True):
        assert evidence.event_log == theirs.event_log
        assert len(evidence.quotes) == len(theirs.quotes) + 1  # ML-DSA


@needs_swtpm
def test_one_tpm_gives_both_machines_the_same_attestation_key() -> None:
    life = lives("record")
    shown = (*printed(life.theirs).evidence, *printed(life.ours).evidence)
    assert [[key_name(quote.public) for quote in evidence.quotes] for evidence in shown] == [life.ak_names] * len(shown)


@needs_swtpm
@pytest.mark.parametrize("attestation", ["record", "require"])
def test_both_machines_live_the_same_life(attestation: str) -> None:
    life = lives(attestation)
    assert printed(life.theirs).rest == printed(life.ours).rest
    assert life.theirs.records == life.ours.records
    assert life.left_on_qemu.ranges == ()


@needs_swtpm
def test_evidence_that_is_required_and_that_nobody_judges_ends_the_enclave() -> None:
    life = printed(lives("require").theirs)
    begin = ["PROT_ENTRY", "MEM_MAP", "WASM_INIT", "CYCLE 00000000"]
    assert list(life.rest) == [*begin, "ATTESTATION_REFUSED 0000010d", *ANNIHILATION]
    assert len(life.evidence) == 1


@pytest.mark.parametrize("attestation", ["record", "require"])
def test_without_a_tpm_nothing_is_entered(attestation: str) -> None:
    image = image_of(attestation)
    run = qemu.run(image, memory=True)
    assert run.lines == ["ATTESTATION_REFUSED 0000010a", *ANNIHILATION]
    assert residue(run, image, USABLE).ranges == ()


# The TPM's state after annihilation.


def extended(actions: tuple[str, ...]) -> bytes:
    value = initial_pcr(RUNTIME)
    for action in actions:
        value = sha256(value + sha256(action.encode()).digest()).digest()
    return value


@needs_swtpm
@pytest.mark.parametrize("attestation", ["record", "require"])
def test_the_runtime_pcr_is_capped_when_qemu_has_stopped(attestation: str) -> None:
    assert lives(attestation).pcrs[RUNTIME] == extended(("AETHER ACTIVE", "AETHER ANNIHILATED"))


@needs_swtpm
def test_the_other_pcrs_are_what_the_log_says_and_nobody_else_has_extended_them() -> None:
    life = lives("record")
    replayed = parse_event_log(printed(life.theirs).evidence[-1].event_log).replay()
    assert replayed[RUNTIME] == extended(("AETHER ACTIVE",))
    for pcr in (LOADER, KERNEL, CONFIGURATION, PAYLOADS, ANCHORS):
        assert life.pcrs[pcr] == replayed.get(pcr, initial_pcr(pcr))


@needs_swtpm
def test_the_bios_has_measured_before_the_kernel_came() -> None:
    """So the kernel's TPM2_Startup was not the first."""
    pcrs = lives("record").pcrs
    assert all(pcrs[number] != initial_pcr(number) for number in BIOS)


def later(evidence: tuple[Evidence, ...]) -> Iterator[int]:
    """Reset counts."""
    for one in evidence:
        position = judged(one).position
        assert position is not None
        yield position.reset_count


@needs_swtpm
def test_the_next_boot_on_the_same_tpm_is_later() -> None:
    life = lives("record")
    theirs, mine = (list(later(printed(run).evidence)) for run in (life.theirs, life.ours))
    assert max(theirs) < min(mine)
    assert len(set(theirs)) == 1
