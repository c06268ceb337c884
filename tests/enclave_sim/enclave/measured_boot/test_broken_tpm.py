"""A TPM that is missing, dead, slow, or not a TPM: annihilation without residue, or a good quote. Nothing else."""

import functools
from collections.abc import Callable
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import firmware
from enclave_sim import Attestation, Enclave, events
from enclave_sim.attestation import Challenge, verify
from enclave_sim.cli.exit_codes import ExitCode, of_run
from enclave_sim.guarantees import attested, observe
from enclave_sim.inputs import AfterEvent, HardwareFault
from machine.bus.bus import Bus
from machine.devices import tpm_crb
from machine.tpm.backend import TpmUnavailable
from machine.tpm.messages import error_response
from tests.enclave_sim.enclave.measured_boot.support import (
    BEFORE_THE_GUEST,
    BOOT_COMMANDS,
    CAPPED,
    EXTEND,
    SHUTDOWN,
    SUCCESS,
    Interposer,
    assert_annihilated,
    assert_refused,
    kinds,
    on_command,
    pcr_values,
    reference,
    required,
    without_ml_dsa,
)
from tests.machine.tpm import commands as tpm
from tests.sampling import sampled

RETRY, RETRIES = 0x922, 8
MAY_FAIL = (0, 9)
"""The numbers of TPM2_Startup, which PC firmware may have sent before, and of the key that a TPM need not support."""
COMMANDS = range(len(BOOT_COMMANDS))
NEEDED = [number for number in range(BEFORE_THE_GUEST) if number not in MAY_FAIL]


def assert_refused_or_good(enclave: Enclave) -> None:
    """Assert the whole promise, from outside: no guest without good evidence."""
    result = enclave.run(limit_ns=1_000_000_000)
    assert_annihilated(enclave, result, result.outcome)
    if result.outcome == "ATTESTATION_REFUSED":
        assert kinds(enclave, events.GuestInstantiated) == []
        assert result.signals == ()
        return
    assert result.outcome == "COMPLETED"
    assert enclave.evidence is not None
    (challenge,) = kinds(enclave, events.VerifierChallenged)
    nonce = bytes.fromhex(challenge.nonce)
    assert verify(enclave.evidence, Challenge(nonce, 0), reference()).failures == ()


def test_the_commands_of_a_boot_are_those_that_the_tests_below_count() -> None:
    device = Interposer()
    assert required(tpm=device).run().outcome == "COMPLETED"
    assert device.codes == BOOT_COMMANDS


@pytest.mark.parametrize("attestation", [Attestation.RECORD, Attestation.REQUIRE])
def test_a_machine_without_a_tpm(attestation: Attestation) -> None:
    attach = Bus.attach_memory

    def attach_others(bus: Bus, device: object, base: int) -> None:
        if base != tpm_crb.ADDRESS:
            attach(bus, device, base)  # type: ignore[arg-type]

    with patch.object(Bus, "attach_memory", attach_others):
        enclave = Enclave("beacon", attestation=attestation)
    assert_refused(enclave, "there is no TPM")


@pytest.mark.parametrize("interface", [0x0, 0xF, 0x2, 0xFFFF_FFF0])
def test_a_tpm_whose_interface_is_not_a_crb(interface: int) -> None:
    """INTF_ID: 0 is a FIFO, 15 a FIFO of TIS 1.3."""
    with patch.dict(tpm_crb._CONSTANTS, {tpm_crb.INTF_ID: interface}):
        assert_refused(required(), "there is no TPM")


@pytest.mark.parametrize("code", [0x100, 0x101, 0x922])
def test_a_tpm_that_pc_firmware_has_started_serves_as_well(code: int) -> None:
    def treat(_at: int, command: bytes, go_on: Callable[[], bytes]) -> bytes:
        return error_response(code) if command == tpm.startup() else go_on()

    device = Interposer(treat)
    enclave = required(tpm=device)
    device.tpm.execute(tpm.startup(), 0)
    assert enclave.run().outcome == "COMPLETED"


def test_a_tpm_that_nobody_has_started_does_not() -> None:
    def treat(_at: int, command: bytes, go_on: Callable[[], bytes]) -> bytes:
        return SUCCESS if command == tpm.startup() else go_on()

    assert_refused(required(tpm=Interposer(treat)), "there is no TPM, or it does not start")


def test_failure_mode_from_the_start() -> None:
    device = Interposer()
    enclave = required(tpm=device)
    device.tpm.fail()
    assert_refused(enclave, "there is no TPM, or it does not start")
    assert device.codes == BOOT_COMMANDS[:2]


@pytest.mark.parametrize("number", range(BEFORE_THE_GUEST))
def test_failure_mode_from_any_command_on(number: int) -> None:
    def treat(at: int, _command: bytes, go_on: Callable[[], bytes]) -> bytes:
        if at == number:
            device.tpm.fail()
        return go_on()

    device = Interposer(treat)
    result = assert_refused(required(tpm=device))
    uncapped = f"{REFUSED_A_COMMAND}, {UNCAPPED}"
    assert result.detail == ("there is no TPM, or it does not start" if number < 2 else uncapped)


REFUSED_A_COMMAND = "the TPM refused a command or did not finish it"


@pytest.mark.parametrize("number", [12, 13])
def test_failure_mode_at_the_cap_does_not_stop_annihilation(number: int) -> None:
    def treat(at: int, _command: bytes, go_on: Callable[[], bytes]) -> bytes:
        if at == number:
            device.tpm.fail()
        return go_on()

    device = Interposer(treat)
    enclave = required(tpm=device)
    assert_annihilated(enclave, enclave.run(), "COMPLETED")
    failed = kinds(enclave, events.TpmCommandFailed)
    assert [event.command for event in failed] == BOOT_COMMANDS[number:13] or BOOT_COMMANDS[13:]


CAP_TRIES = 4
UNCAPPED = "the TPM could not be capped: a later quote may claim the active state"


@pytest.mark.parametrize("errors", range(CAP_TRIES + 1))
def test_a_cap_that_fails_is_tried_again_and_at_last_reported(errors: int) -> None:
    def treat(at: int, _command: bytes, go_on: Callable[[], bytes]) -> bytes:
        return error_response(0x101) if BEFORE_THE_GUEST <= at < BEFORE_THE_GUEST + errors else go_on()

    device = Interposer(treat)
    result, capped = required(tpm=device).run(), errors < CAP_TRIES
    assert (result.outcome, result.halted) == ("COMPLETED", True)
    tries = [EXTEND] * min(errors + 1, CAP_TRIES)
    assert device.codes[BEFORE_THE_GUEST:] == [*tries, *([SHUTDOWN] if capped else [])]
    assert (pcr_values(device.tpm, [13])[0] in CAPPED) == capped
    assert result.flaws == (() if capped else (UNCAPPED,))
    assert result.detail == ("" if capped else UNCAPPED)
    assert result.clean == capped
    assert of_run(result) is (ExitCode.OK if capped else ExitCode.KERNEL_FAULT)


@pytest.mark.parametrize(("effect", "value", "holds"), [("error", 0x101, True), ("fail", 1, False)])
def test_the_guarantee_is_broken_only_if_the_cap_failed(effect: str, value: int, holds: bool) -> None:
    fault = HardwareFault(at_ns=0, after=AfterEvent("annihilation_began"), part="tpm", effect=effect, value=value)
    run = observe("beacon", inputs=[fault])
    assert (run.result.outcome, run.result.clean) == ("COMPLETED", holds)
    assert attested([run]).holds == holds
    flaws = [event.detail for event in run.events if isinstance(event, events.AnnihilationFlawed)]
    assert flaws == [firmware.layout()["DETAIL_UNCAPPED"]] * (not holds)


@pytest.mark.parametrize("number", range(BEFORE_THE_GUEST))
def test_a_tpm_that_dies_at_any_command(number: int) -> None:
    def treat(at: int, _command: bytes, go_on: Callable[[], bytes]) -> bytes:
        if at >= number:
            raise TpmUnavailable("gone")
        return go_on()

    assert_refused(required(tpm=Interposer(treat)))


@pytest.mark.parametrize("number", COMMANDS)
@pytest.mark.parametrize("times", sampled([1, RETRIES - 1], RETRIES - 1))
def test_a_command_that_is_to_be_retried_is_submitted_again(number: int, times: int) -> None:
    """Whichever command it is, and unchanged."""
    seen: list[bytes] = []

    def treat(at: int, command: bytes, go_on: Callable[[], bytes]) -> bytes:
        if number <= at <= number + times:
            seen.append(command)
        return error_response(RETRY) if number <= at < number + times else go_on()

    enclave = required(tpm=Interposer(treat))
    assert_annihilated(enclave, enclave.run(), "COMPLETED")
    assert len(seen) == times + 1
    assert len(set(seen)) == 1
    assert len(kinds(enclave, events.TpmCommandFailed)) == times


@pytest.mark.parametrize("number", NEEDED)
def test_a_tpm_that_wants_a_retry_forever_times_out(number: int) -> None:
    def treat(at: int, _command: bytes, go_on: Callable[[], bytes]) -> bytes:
        return error_response(RETRY) if at >= number else go_on()

    enclave = required(tpm=Interposer(treat))
    assert_refused(enclave)
    first = kinds(enclave, events.TpmCommandFailed)[:RETRIES]
    assert [event.command for event in first] == [BOOT_COMMANDS[number]] * RETRIES


@settings(max_examples=60)
@given(
    number=st.sampled_from(NEEDED),
    code=st.integers(1, 0xFFF).filter(lambda code: code != RETRY) | st.integers(1, 2**32 - 1),
)
def test_any_other_response_code_is_a_refusal(number: int, code: int) -> None:
    if code == RETRY:
        code += 1
    enclave = required(tpm=Interposer(on_command(number, lambda _: error_response(code))))
    assert_refused(enclave)
    assert [event.code for event in kinds(enclave, events.TpmCommandFailed)][:1] == [code]


@settings(max_examples=25)
@given(code=st.integers(1, 0xFFF))
def test_a_tpm_without_ml_dsa_may_say_so_as_it_likes(code: int) -> None:
    """Also by requesting a retry, eight times in a row."""
    enclave = required(tpm=Interposer(without_ml_dsa(code)))
    assert enclave.run().outcome == "COMPLETED"
    assert [event.algorithm for event in kinds(enclave, events.Quoted)] == ["ecdsa-p256"]


def cut(response: bytes, length: int, honest: bool) -> bytes:
    """The first bytes of a response; if `honest`, the size field says so."""
    short = response[:length]
    return tpm.with_size(short) if honest else short


@pytest.mark.slow
@settings(max_examples=70)
@given(number=st.integers(0, 13), length=st.integers(0, 400), honest=st.booleans())
def test_a_response_that_is_cut_short(number: int, length: int, honest: bool) -> None:
    assert_refused_or_good(required(tpm=Interposer(on_command(number, lambda full: cut(full, length, honest)))))


@pytest.mark.parametrize("number", COMMANDS)
@pytest.mark.parametrize("size", sampled([11, 32, 33, 0xF80, 0xF81, 0xFFFF_FFFF], 33, 0xF81))
def test_a_response_that_is_longer_than_it_should_be(number: int, size: int) -> None:
    """Longer in its size field, in its data, or both."""

    def longer(full: bytes) -> bytes:
        return tpm.with_size(full, size).ljust(min(size, 0xF90), b"\xaa")

    assert_refused_or_good(required(tpm=Interposer(on_command(number, longer))))


@pytest.mark.slow
@settings(max_examples=90)
@given(number=st.integers(0, 13), body=st.binary(max_size=200), good=st.booleans(), size=st.none() | st.integers(0))
def test_a_response_that_is_garbage(number: int, body: bytes, good: bool, size: int | None) -> None:
    """If `good`, the garbage follows a header of success."""
    length = (10 + len(body) if size is None else size) & 0xFFFF_FFFF
    header = b"\x80\x02" + length.to_bytes(4, "big") + bytes(4) if good else b""
    assert_refused_or_good(required(tpm=Interposer(on_command(number, lambda _: header + body))))


@pytest.mark.slow
@settings(max_examples=90)
@given(number=st.sampled_from([7, 8, 9, 10, 11, 12]), data=st.data())
def test_a_response_with_bytes_that_are_not_the_tpms(number: int, data: st.DataObject) -> None:
    def changed(full: bytes) -> bytes:
        found = bytearray(full)
        # Half of them where lengths and handles are.
        places = st.integers(0, min(40, len(full) - 1)) | st.integers(0, len(full) - 1)
        for at in data.draw(st.lists(places, min_size=1, max_size=3)):
            found[at] = data.draw(st.integers(0, 255))
        return bytes(found)

    assert_refused_or_good(required(tpm=Interposer(on_command(number, changed))))


@pytest.mark.parametrize("number", [n for n, code in enumerate(BOOT_COMMANDS[:BEFORE_THE_GUEST]) if code == EXTEND])
def test_a_tpm_that_says_it_has_measured_and_has_not_is_refused(number: int) -> None:
    def treat(at: int, _command: bytes, go_on: Callable[[], bytes]) -> bytes:
        return SUCCESS if at == number else go_on()

    assert_refused(required(tpm=Interposer(treat)), "quote 1 PCR digest", "quote 2 PCR digest")


@functools.cache
def stuck_device() -> type[tpm_crb.TpmCrb]:
    class Stuck(tpm_crb.TpmCrb):
        """Its command never ends."""

        def read(self, offset: int, size: int) -> int:
            return 1 if offset == tpm_crb.CTRL_START else super().read(offset, size)

    return Stuck


@pytest.mark.long
def test_a_command_that_never_ends_times_out() -> None:
    with patch.object(tpm_crb, "TpmCrb", stuck_device()):
        assert_refused(required(), "there is no TPM, or it does not start")
