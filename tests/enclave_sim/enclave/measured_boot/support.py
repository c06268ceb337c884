"""TPMs with an interposer, and assertions about a run with measured boot."""

from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha256
from typing import Any

from enclave_sim import Attestation, Enclave, events
from enclave_sim.attestation import ReferenceValues, SignedQuote
from enclave_sim.enclave.attester.tpm_events import tpm_seed
from enclave_sim.recording.outcome.summary import RunResult
from machine.devices.tpm_crb import TpmCrb
from machine.state import Stateful
from machine.tpm.constants import Alg, Code, Rc
from machine.tpm.messages import error_response
from machine.tpm.model import TpmModel
from tests.machine.tpm import commands as tpm
from tests.machine.tpm.models import created, pcrs_of, quoted

ACTIVE, CAP = b"AETHER ACTIVE", b"AETHER ANNIHILATED"
STARTUP, SELF_TEST, SHUTDOWN = Code.STARTUP, Code.SELF_TEST, Code.SHUTDOWN
EXTEND, CREATE_PRIMARY, QUOTE = Code.PCR_EXTEND, Code.CREATE_PRIMARY, Code.QUOTE
BOOT_COMMANDS = [STARTUP, SELF_TEST, *[EXTEND] * 6, *[CREATE_PRIMARY] * 2, *[QUOTE] * 2, EXTEND, SHUTDOWN]
"""Commands of the beacon with one cycle."""
BEFORE_THE_GUEST = 12
"""The number of these before ring 3 is entered."""
SUCCESS = error_response(Rc.SUCCESS)
Treat = Callable[[int, bytes, Callable[[], bytes]], bytes]


def model(seed: str = "development", resets: int = 0) -> TpmModel:
    """The default TPM of an enclave."""
    return TpmModel(tpm_seed(seed), resets)


class Interposer(Stateful):
    """A TPM model with an interposer: `treat(number, command, go_on)` gives the response to each command."""

    STATE = ("codes",)
    PARTS = ("tpm",)

    def __init__(self, treat: Treat = lambda _number, _command, go_on: go_on(), tpm: TpmModel | None = None) -> None:
        self.tpm = tpm or model()
        self._treat = treat
        self.codes: list[int] = []
        """The commands so far."""

    def power_on(self) -> None:
        self.tpm.power_on()

    def execute(self, command: bytes, locality: int) -> bytes:
        self.codes.append(tpm.code_of(command))
        return self._treat(len(self.codes) - 1, command, lambda: self.tpm.execute(command, locality))


def later_quote(of: Any, nonce: bytes, cycle: int = 0) -> SignedQuote:
    """A quote made by someone who has the TPM."""
    made = created(of.execute(tpm.create_primary(), 0))
    attest, signature = quoted(of.execute(tpm.quote(made.handle, nonce + tpm.u32(cycle)), 0))
    of.execute(tpm.flush(made.handle), 0)
    return SignedQuote(attest, signature, tpm.sized(made.public))


def without_ml_dsa(code: int) -> Treat:
    """Makes the TPM refuse a key for ML-DSA with this code."""
    return lambda _at, sent, go_on: error_response(code) if tpm.is_creation(sent, Alg.MLDSA) else go_on()


def on_command(wanted: int, answer: Callable[[bytes], bytes]) -> Treat:
    """Replaces the response to command number `wanted` with `answer` of it; others are unchanged."""
    return lambda number, _command, go_on: answer(go_on()) if number == wanted else go_on()


@cache
def reference(payload: str = "beacon", attestation: Attestation = Attestation.REQUIRE) -> ReferenceValues:
    """Reference values of the genuine enclave."""
    return Enclave(payload, attestation=attestation).reference_values()


def required(payload: str = "beacon", **options: Any) -> Enclave:
    """An enclave whose verifier demands the genuine one."""
    return Enclave(payload, attestation=Attestation.REQUIRE, **{"reference": reference(payload), **options})


def kinds(enclave: Enclave, *wanted: type) -> list[Any]:
    assert enclave.recording is not None
    return [event for event in enclave.recording.events if isinstance(event, wanted)]


def crb(enclave: Enclave) -> TpmCrb:
    (found,) = (device for device in enclave.machine.bus.devices if isinstance(device, TpmCrb))
    return found


def assert_annihilated(enclave: Enclave, result: RunResult, cause: str) -> None:
    """Assert all steps, dormancy and no residue."""
    assert result.outcome == cause
    assert [step.step for step in kinds(enclave, events.AnnihilationStep)] == ["A1", "A2", "A3", "A4", "A5", "A6", "A7"]
    assert (result.halted, result.residue_bytes) == (True, 0)


def assert_refused(enclave: Enclave, *words: str) -> RunResult:
    """Assert annihilation before any guest, with these words in the reason."""
    result = enclave.run()
    assert_annihilated(enclave, result, "ATTESTATION_REFUSED")
    assert (result.signals, kinds(enclave, events.GuestInstantiated)) == ((), [])
    assert [word for word in words if word not in result.detail] == []
    return result


def extended(*measurements: bytes) -> bytes:
    """A PCR after being extended with these digests."""
    value = bytes(32)
    for digest in measurements:
        value = sha256(value + digest).digest()
    return value


def pcr_values(of: Any, numbers: Sequence[int] = range(8, 14)) -> list[bytes]:
    """The SHA-256 PCRs, as the TPM reports them."""
    return pcrs_of(of.execute(tpm.pcr_read(tpm.selection((Alg.SHA256, sum(1 << n for n in numbers)))), 0)).values


_CAP, _ACTIVE = sha256(CAP).digest(), sha256(ACTIVE).digest()
CAPPED = [extended(_CAP), extended(_ACTIVE, _CAP), extended(_CAP, _CAP), extended(_ACTIVE, _CAP, _CAP)]
"""Possible values of the runtime PCR after an enclave: capped before it was active, or after; and twice if annihilation
was disturbed at that point."""
