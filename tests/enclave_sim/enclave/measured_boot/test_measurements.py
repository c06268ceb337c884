"""Measurements at boot and their times; a phase ends only after its measurements."""

import hashlib
import io
import struct
from hashlib import sha256
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

import firmware
import payloads
from enclave_sim import Attestation, Enclave, events
from enclave_sim.attestation.formats.event_log import EV_ACTION, EV_IPL, parse_event_log
from enclave_sim.payload import anchor_list
from enclave_sim.payload.keys import SigningKey, development_anchor
from tests.enclave_sim.enclave.measured_boot.support import ACTIVE, CAP, Interposer, extended, kinds, pcr_values
from tests.machine.tpm import commands as tpm

OWN = SigningKey("own", bytes(32), bytes([1]) * 32, development=False).anchor()
ENCLAVES: list[tuple[Any, dict[str, Any], str]] = [
    ("beacon", {}, "cycles=1 wake_ns=1000000 quantum_ns=10000000 attestation=record"),
    (
        ["counter", "beacon", "counter"],
        {"cycles": 2, "wake_ns": 5000, "trust_anchors": [development_anchor(), OWN]},
        "cycles=2 wake_ns=5000 quantum_ns=10000000 attestation=record",
    ),
    (
        ["beacon"] * 8,
        {"attestation": Attestation.REQUIRE, "arena_bytes": 65536},
        "cycles=1 wake_ns=1000000 quantum_ns=10000000 arena_bytes=65536 attestation=require",
    ),
    (
        "runner",
        {"engine": "native"},
        "cycles=1 wake_ns=1000000 quantum_ns=10000000 attestation=record guest=native sha256="
        + hashlib.sha256(payloads.read_flat("runner")).hexdigest(),
    ),
]
NAMED = pytest.mark.parametrize(("payload", "options", "command_line"), ENCLAVES, ids=["one", "three", "eight", "flat"])


def loaded_image() -> bytes:
    """The kernel's RAM image by its ELF file, from the text to the end of initialized data."""
    file = ELFFile(io.BytesIO(firmware.built_in().image))
    parts = sorted((s["p_paddr"], s.data()) for s in file.iter_segments() if s["p_type"] == "PT_LOAD" and s["p_filesz"])
    base, memory = parts[0][0], bytearray()
    for at, data in parts:
        memory[at - base :] = bytes(at - base - len(memory)) + data
    symbols = file.get_section_by_name(".symtab")
    return bytes(memory).ljust(symbols.get_symbol_by_name("data_end")[0]["st_value"] - base, b"\0")


def boot_information(enclave: Enclave) -> bytes:
    """The boot information, to which EBX points (Multiboot2, 3.3); its first word is its size."""
    at = enclave.machine.cpu.read_register("RBX")
    (size,) = struct.unpack("<I", enclave.machine.ram.read(at, 4))
    return enclave.machine.ram.read(at, size)


def digests(enclave: Enclave, command_line: str) -> list[tuple[int, int, bytes, bytes]]:
    """PCR, type, data and digest of every event, computed from the enclave's configuration before it runs."""
    modules = [sha256(module).digest() for module in enclave.payloads]
    found = [
        (9, EV_IPL, b"kernel image", sha256(loaded_image()).digest()),
        (8, EV_IPL, b"loader information", sha256(boot_information(enclave)).digest()),
        (10, EV_IPL, command_line.encode(), sha256(command_line.encode()).digest()),
    ]
    if "guest=native" not in command_line:
        packed = anchor_list.pack(sorted(enclave.anchors, key=lambda anchor: anchor.name))
        found.append((12, EV_IPL, b"trust anchors", sha256(packed).digest()))
    found += [(11, EV_IPL, b"payload %d" % index, digest) for index, digest in enumerate(modules)]
    return [*found, (13, EV_ACTION, ACTIVE, sha256(ACTIVE).digest())]


@NAMED
def test_the_registers_after_boot_are_the_replay_of_what_was_there_to_measure(
    payload: Any, options: dict[str, Any], command_line: str
) -> None:
    device = Interposer()
    enclave = Enclave(payload, tpm=device, **options)
    measured = digests(enclave, command_line)
    assert enclave.boot()
    for pcr, value in zip(range(8, 14), pcr_values(device), strict=True):
        assert value == extended(*(digest for number, _, _, digest in measured if number == pcr)), pcr


@NAMED
def test_the_log_has_every_measurement_in_order(payload: Any, options: dict[str, Any], command_line: str) -> None:
    enclave = Enclave(payload, **options)
    measured = digests(enclave, command_line)
    assert enclave.boot()
    assert enclave.evidence is not None
    log = parse_event_log(enclave.evidence.event_log)
    assert [(event.pcr, event.type, event.data, event.digest) for event in log.events] == measured
    assert log.encode() == enclave.evidence.event_log


@NAMED
def test_every_measurement_is_an_event_of_the_run(payload: Any, options: dict[str, Any], command_line: str) -> None:
    enclave = Enclave(payload, **options)
    measured = digests(enclave, command_line)
    enclave.run()
    found = [(event.pcr, event.sha256) for event in kinds(enclave, events.PcrExtended)]
    expected = [(pcr, digest.hex()) for pcr, _, _, digest in measured]
    assert found == [*expected, (13, sha256(CAP).hexdigest())]


@pytest.mark.parametrize(("payload", "engine"), [("counter", "wasmtime"), ("runner", "native")])
def test_policy_off_leaves_the_tpm_alone(payload: str, engine: str) -> None:
    device = Interposer()
    enclave = Enclave(payload, engine=engine, cycles=2, tpm=device, attestation=Attestation.OFF)
    assert enclave.run().outcome == "COMPLETED"
    assert device.codes == []
    assert kinds(enclave, events.PcrExtended, events.Quoted, events.VerifierChallenged) == []
    assert enclave.evidence is None


@NAMED
def test_a_phase_ends_after_its_measurements(payload: Any, options: dict[str, Any], command_line: str) -> None:
    enclave = Enclave(payload, **options)
    enclave.boot()
    order: dict[str, list[int]] = {}
    behind: list[int] = []
    for event in kinds(enclave, events.PcrExtended, events.PhaseCompleted):
        if isinstance(event, events.PhaseCompleted):
            order[event.phase], behind = behind, []
        else:
            behind.append(event.pcr)
    anchors = [] if "guest=native" in command_line else [12]
    count = 1 if isinstance(payload, str) else len(payload)
    assert order == {
        "PROT_ENTRY": [9, 8, 10],
        "MEM_MAP": [],
        "WASM_INIT": [*anchors, *[11] * count],
        "EXEC_LOOP": [13],
    }


@NAMED
def test_a_payload_is_measured_before_anybody_looks_into_it(
    payload: Any, options: dict[str, Any], command_line: str
) -> None:
    enclave = Enclave(payload, **options)
    enclave.boot()
    assert enclave.recording is not None
    seen = 0
    for event in enclave.recording.events:
        if isinstance(event, events.PcrExtended):
            seen += event.pcr == 11
        elif isinstance(event, events.PayloadMeasured | events.PayloadVerified | events.PayloadCompiled):
            assert seen == event.payload + 1


@pytest.mark.parametrize("number", range(8))
def test_without_its_measurement_no_phase_ends(number: int) -> None:
    """The TPM does not accept command `number`: the phase that needs it is the last one."""
    device = Interposer(lambda at, _, go_on: tpm.command(0x101, tag=0x8001) if at == number else go_on())
    enclave = Enclave("beacon", tpm=device)
    result = enclave.run()
    ended = [event.phase for event in kinds(enclave, events.PhaseCompleted)]
    phases = ["PROT_ENTRY", "MEM_MAP", "WASM_INIT"]
    assert ended == phases[: 0 if number < 5 else 2 if number < 7 else 3]
    assert result.outcome == "ATTESTATION_REFUSED"
