"""Every parser of untrusted input to attestation: genuine input for it, and the errors that it may raise."""

import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest import mock

import msgspec

from enclave_sim.attestation import Evidence, EvidenceError, Policy, ReferenceValues, key_name, public_pem
from enclave_sim.attestation.formats.envelope import protected_header, public_of
from enclave_sim.attestation.formats.event_log import EventLog, parse_event_log
from enclave_sim.attestation.formats.plain_cbor import load
from enclave_sim.attestation.formats.public_area import parse_public
from enclave_sim.attestation.formats.quote import parse_quote
from enclave_sim.attestation.formats.signature import parse_signature
from enclave_sim.attestation.service.client import RemoteVerifier
from enclave_sim.attestation.service.errors import VerifierUnavailable
from enclave_sim.attestation.service.exchange import Answer
from enclave_sim.cli.options.tpm import TpmChoice, chosen_tpm
from enclave_sim.enclave.attester import attestation_port, tpm_events
from enclave_sim.enclave.attester.built_in import BuiltInVerifier
from enclave_sim.enclave.attester.expected_measurements import attestation_key_names
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.errors import ConfigurationError
from enclave_sim.events import PcrExtended, Quoted
from enclave_sim.payload import anchor_list
from enclave_sim.payload.errors import KeyFileError
from enclave_sim.payload.keys import development_key
from machine.bus.ram import Ram
from machine.events import Event
from machine.journal import Journal
from machine.machine import Machine, MachineConfiguration
from machine.processor.clock import Clock
from machine.processor.step_hook import NEVER, HookState
from machine.state import Stateful
from machine.tpm.backend import TpmUnavailable
from machine.tpm.constants import Code, Tag
from machine.tpm.messages import HEADER_BYTES, created, error_response
from machine.tpm.model import TpmModel
from machine.tpm.swtpm import Swtpm
from tests.enclave_sim.attestation.nodes import CHALLENGE, ENVELOPE_KEY, HONEST, REFERENCE
from tests.machine.tpm import commands as tpm
from tests.machine.tpm.models import SEED, model


def choose_tpm(text: str) -> TpmChoice:
    with chosen_tpm(text) as chosen:
        return chosen


Reader = Callable[[bytes], object]


class Refused(Exception):  # noqa: N818 - no error of the program: its answer
    """Raised by a reader below for input that the program refuses by its answer, not by an exception."""


def _nowhere(data: bytes, size: int) -> bool:
    return False


@dataclass(frozen=True)
class Parser:
    """A reader of bytes."""

    read: Reader
    """Checks the result by assertions, where possible."""
    genuine: Callable[[], tuple[bytes, ...]]
    errors: tuple[type[Exception], ...] = ()
    cut: Callable[[bytes, int], bool] = _nowhere
    """Returns True if genuine input cut to a size is still read."""
    shape: Callable[[bytes], bytes] = bytes
    """Turns arbitrary bytes into some that the parser reads further."""


# The TPM.


@cache
def _commands() -> tuple[bytes, ...]:
    named = tpm.event(8, b"event")
    others = [tpm.self_test(), tpm.command(Code.GET_TEST_RESULT), tpm.get_random(1), tpm.reset(16)]
    plain = [tpm.startup(), tpm.shutdown(), tpm.extend(8), tpm.pcr_read(), tpm.create_primary(), tpm.quote()]
    asked = [tpm.read_public(), tpm.flush(), tpm.get_capability(5), tpm.get_capability(6)]
    return (*plain, *asked, named, tpm.create_primary(tpm.MLDSA_AK), *others)


def _execute(data: bytes) -> None:
    before_startup = TpmModel(SEED)
    before_startup.power_on()
    answers = []
    for made, locality in ((before_startup, 0), (model(tpm.create_primary()), 0), (model(tpm.create_primary()), 3)):
        response = made.execute(data, locality)
        answers.append(tpm.code_of(response))
        assert tpm.size_of(response) == len(response)
        assert tpm.tag_of(response) in (Tag.NO_SESSIONS, Tag.SESSIONS)
        if tpm.code_of(response):
            assert response == error_response(tpm.code_of(response))
    if all(answers):
        raise Refused(answers)


@cache
def _responses() -> tuple[bytes, ...]:
    made = model()
    sent = (tpm.create_primary(), tpm.create_primary(tpm.MLDSA_AK), tpm.quote(), tpm.quote(0x8000_0001), tpm.extend(8))
    return tuple(made.execute(command, 0) for command in sent)


class _Client(socket.socket):
    """Answers every request the same way, and then closes."""

    answer = b""
    peer: socket.socket

    def sendall(self, *_: object) -> None:
        self.peer.sendall(self.answer)
        self.peer.shutdown(socket.SHUT_WR)


def _ask_swtpm(data: bytes) -> None:
    ours, peer = socket.socketpair()
    client = _Client(ours.family, ours.type, ours.proto, ours.detach())
    client.answer, client.peer = data[:60_000], peer  # more would wait for a reader
    with client, peer, mock.patch("machine.tpm.swtpm._connect", return_value=client):
        response = Swtpm("nowhere").execute(tpm.startup(), 0)
    assert tpm.size_of(response) == len(response) >= HEADER_BYTES
    assert data.startswith(response)


class _Answering(Stateful):
    """A TPM that gives the same response to every command."""

    answer = b""

    def power_on(self) -> None:
        pass

    def execute(self, command: bytes, locality: int) -> bytes:  # noqa: ARG002 - the contract's shape
        return self.answer


def _key_names(data: bytes) -> None:
    backend = _Answering()
    backend.answer = data
    if not attestation_key_names(backend):
        raise Refused("the TPM can make no key")


class _Kinds:
    """Recorder of the kinds of events."""

    def __init__(self) -> None:
        self.seen: list[type[Event]] = []

    def record(self, event: Event) -> None:
        self.seen.append(type(event))


@cache
def _attested() -> "tuple[Machine, _Answering, _Kinds]":
    kinds = _Kinds()
    machine, backend = Machine(MachineConfiguration(16 << 20), kinds), _Answering()
    tpm_events.attach(machine, backend, _verifier())
    return machine, backend, kinds


def _take_response(data: bytes) -> None:
    """A quote's answer goes through the CRB and becomes an event."""
    machine, backend, kinds = _attested()
    backend.answer = data
    kinds.seen.clear()
    (crb,) = (device for device in machine.bus.devices if getattr(device, "tpm", None) is backend)
    crb.reset()
    for command in (tpm.quote(), tpm.extend(8)):
        crb.write(0x08, 4, 1)
        crb.write(0x40, 4, 1)
        crb.write(0x80, len(command), int.from_bytes(command, "little"))
        crb.write(0x4C, 4, 1)
        crb.write(0x40, 4, 2)
    if not {Quoted, PcrExtended} & set(kinds.seen):
        raise Refused(kinds.seen)


# The port and the verifiers.


def _verifier() -> BuiltInVerifier:
    return BuiltInVerifier(REFERENCE, lambda: REFERENCE, Policy(), b"")


_TABLE, _BLOBS = 0x1000, 0x2000


@cache
def _evidence() -> Evidence:
    return HONEST.evidence()


def _table() -> tuple[bytes, ...]:
    evidence, at, table, content = _evidence(), _BLOBS, b"", b""
    quotes = [part for quote in evidence.quotes for part in (quote.attest, quote.signature, quote.public)]
    for blob in (evidence.event_log, *quotes):
        table += at.to_bytes(4, "little") + len(blob).to_bytes(4, "little")
        content += blob
        at += len(blob)
    return (table.ljust(_BLOBS - _TABLE, b"\0") + content,)


def _read_table(data: bytes) -> None:
    ram = Ram(1 << 20)
    ram.write(_TABLE, data[: ram.size - _TABLE])
    port = attestation_port.AttestationPort(ram, Journal(Clock(HookState(deadline=NEVER))), _verifier())
    port.write(attestation_port.CHALLENGE, 4, CHALLENGE.cycle)
    port.write(attestation_port.EVIDENCE, 4, _TABLE)
    assert port.read(attestation_port.RESULT, 4) == attestation_port.REFUSED
    if port.evidence is None or (port.evidence.event_log, port.evidence.quotes) != (
        _evidence().event_log,
        _evidence().quotes,
    ):
        raise Refused("the evidence is another")


def _answers() -> tuple[bytes, ...]:
    verdict = {"challenge": "c", "accepted": True, "cycle": 3, "checks": [{"name": "n", "passed": True, "message": ""}]}
    challenge = {"challenge": "c", "nonce": "00" * 32, "expires_in_s": 60}
    return tuple(msgspec.json.encode(one) for one in (verdict, challenge, {"error": "e", "message": "m"}))


def _ask_verifier(data: bytes) -> None:
    made = RemoteVerifier("http://127.0.0.1:1")
    with mock.patch("enclave_sim.attestation.service.client.exchange") as exchange:
        for status in (200, 409):
            exchange.return_value = Answer(200, _answers()[1])
            assert made.challenge(3, None) == bytes(32)
            exchange.return_value = Answer(status, data)
            verdict = made.judge(3, b"")
            assert not verdict.accepted or (status, data[:1]) == (200, b"{")
            if verdict.accepted or "refused with status 409, " in verdict.message:
                return
        exchange.return_value = Answer(200, data)
        made.challenge(3, None)


# Files.


def _state_file() -> tuple[bytes, ...]:
    return (b'{"format":"aether-tpm-model/1","seed":"00112233","resets":4}',)


def _read_state_file(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "tpm"
        path.write_bytes(data)
        try:
            chosen = choose_tpm(f"model:{path}").configured(EnclaveConfiguration())
            TpmModel(tpm_events.tpm_seed(chosen.tpm_seed), chosen.tpm_resets)
        except ConfigurationError:
            assert path.read_bytes() == data  # other files are left alone
            raise


def _parts(index: int) -> Callable[[], tuple[bytes, ...]]:
    def parts() -> tuple[bytes, ...]:
        triples = [(quote.attest, quote.signature, quote.public) for quote in _evidence().quotes]
        return tuple(triple[index] for triple in triples)

    return parts


def _files() -> tuple[bytes, ...]:
    return _evidence().encode(ENVELOPE_KEY), _evidence().encode(None)


# Places where input may be cut.


def _after_an_event(data: bytes, size: int) -> bool:
    """A log is a log after each of its events."""
    log = parse_event_log(data)
    return size in {len(EventLog(log.events[:count], log.header).encode()) for count in range(len(log.events) + 1)}


def _after_the_header(data: bytes, size: int) -> bool:
    """The CRB accepts any response with a header; the kernel must check the rest."""
    return size >= HEADER_BYTES


def _after_the_public_area(data: bytes, size: int) -> bool:
    """Only the handle and TPM2B_PUBLIC of TPM2_CreatePrimary's response are read."""
    upto = data.index(created(data).public) + len(created(data).public)
    return size >= upto


PARSERS = {
    "enclave_sim.attestation.formats.envelope.public_of": Parser(
        public_of, lambda: (protected_header(ENVELOPE_KEY.public),), (EvidenceError,)
    ),
    "enclave_sim.attestation.formats.event_log.parse_event_log": Parser(
        parse_event_log, lambda: (_evidence().event_log,), (EvidenceError,), cut=_after_an_event
    ),
    "enclave_sim.attestation.evidence.Evidence.decode": Parser(Evidence.decode, _files, (EvidenceError,)),
    "enclave_sim.attestation.formats.plain_cbor.load": Parser(
        lambda data: load(data, "item"), lambda: (_files()[1][3:],), (EvidenceError,)
    ),
    "enclave_sim.attestation.formats.public_area.parse_public": Parser(parse_public, _parts(2), (EvidenceError,)),
    "enclave_sim.attestation.formats.public_area.key_name": Parser(key_name, _parts(2), (EvidenceError,)),
    "enclave_sim.attestation.formats.public_area.public_pem": Parser(public_pem, _parts(2), (EvidenceError,)),
    "enclave_sim.attestation.formats.quote.parse_quote": Parser(parse_quote, _parts(0), (EvidenceError,)),
    "enclave_sim.attestation.reference_values.ReferenceValues.from_json": Parser(
        ReferenceValues.from_json, lambda: (REFERENCE.to_json().strip(),), (ConfigurationError,)
    ),
    "enclave_sim.attestation.formats.signature.parse_signature": Parser(parse_signature, _parts(1), (EvidenceError,)),
    "enclave_sim.payload.anchor_list.unpack": Parser(
        anchor_list.unpack, lambda: (anchor_list.pack([development_key().anchor()] * 2),), (KeyFileError,)
    ),
    "enclave_sim.enclave.attester.tpm_events: responses": Parser(
        _take_response, _responses, cut=_after_the_header, shape=tpm.with_size
    ),
    "enclave_sim.cli.options.tpm: state file": Parser(_read_state_file, _state_file, (ConfigurationError,)),
    "enclave_sim.enclave.attester.attestation_port: evidence table": Parser(
        _read_table, _table, cut=lambda data, size: not any(data[size:])
    ),
    "enclave_sim.enclave.attester.expected_measurements: responses": Parser(
        _key_names, lambda: _responses()[:2], (EvidenceError,), cut=_after_the_public_area, shape=tpm.with_size
    ),
    "enclave_sim.attestation.service.client: answers": Parser(_ask_verifier, _answers, (VerifierUnavailable,)),
    "machine.tpm.model: commands": Parser(_execute, _commands, shape=tpm.with_size),
    "machine.tpm.swtpm: responses": Parser(_ask_swtpm, _responses, (TpmUnavailable,), shape=tpm.with_size),
}
