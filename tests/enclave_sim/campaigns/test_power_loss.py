"""Loss of power: what survives into the next boot, and what the TPM has seen of it."""

from pathlib import Path

import pytest

from enclave_sim.campaigns import AtEvent, AtTime, Bench, Injection, Outcome, PowerLoss
from enclave_sim.campaigns.plan import read_plan
from enclave_sim.campaigns.power_loss import _left, decayed
from enclave_sim.campaigns.spaces import strata_of
from enclave_sim.errors import ConfigurationError
from enclave_sim.events import Quoted, Scrubbed, SignalEmitted
from enclave_sim.inputs import AfterEvent
from machine.devices.tpm_crb import TpmCrb

SIGNALLED = AtEvent(AfterEvent("signal_emitted"))
"""The guest of `digest` has filled its memory with the letter a."""


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench("digest")


def test_a_warm_boot_finds_what_the_guest_held(bench: Bench) -> None:
    last = [event.at_ns for event in bench.golden.events if isinstance(event, SignalEmitted)][-1]
    record = bench.run(Injection(PowerLoss(0), AtTime(last + 1)))
    assert (record.outcome, record.guarantees, record.cause) == (Outcome.GUARANTEE_BROKEN, ("remanent",), "COMPLETED")
    text = "\n".join(record.evidence)
    assert "bytes of heap survived, from 0xff0e90 on" in text
    assert "aaaaaaaaaaaaaaaa" in text
    assert "bytes of data survived" in text  # the kernel's, which is no secret


@pytest.mark.slow
def test_what_survives_decays_with_the_seed(bench: Bench) -> None:
    def run(decay: int, seed: int) -> tuple[Outcome, tuple[str, ...]]:
        record = bench.run(Injection(PowerLoss(decay, seed), SIGNALLED))
        return record.outcome, record.evidence

    assert run(300_000, 1) == run(300_000, 1) != run(300_000, 2)
    outcome, evidence = run(1_000_000, 1)
    assert outcome is Outcome.MASKED
    assert not [line for line in evidence if "survived" in line]


def test_nothing_of_a_guest_survives_once_it_is_scrubbed(bench: Bench) -> None:
    scrubbed = [event for event in bench.golden.events if isinstance(event, Scrubbed)]
    record = bench.run(Injection(PowerLoss(0), AtTime(scrubbed[-1].at_ns + 1)))
    assert (record.outcome, record.guarantees) == (Outcome.MASKED, ())


def test_the_tpm_has_met_a_reset_without_shutdown(bench: Bench) -> None:
    record = bench.run(Injection(PowerLoss(1_000_000), SIGNALLED))
    recording = bench.enclave.recording
    assert recording is not None
    before, after = (
        [event.reset_count for event in events if isinstance(event, Quoted)]
        for events in (bench.golden.events, recording.events)
    )
    assert after == [count + 1 for count in before] != []
    assert record.cause == bench.golden.result.outcome
    crb = next(one for one in bench.enclave.machine.bus.devices if isinstance(one, TpmCrb))
    state = crb.tpm._state  # type: ignore[attr-defined]
    assert (state.reset_count, state.safe) == (before[0] + 1, False)
    bench.run(Injection(PowerLoss(0), AtTime(1)))
    assert state.reset_count == 1  # the TPM had not been started before: its first start is all that counts


def test_bits_decay_to_zero_at_the_rate() -> None:
    content = b"\xff" * 4096
    left = decayed(0, content, PowerLoss(100_000, 7))
    zeros = sum(8 - byte.bit_count() for byte in left)
    assert 3000 < zeros < 3600  # 10 % of 32,768
    assert decayed(0, content, PowerLoss(100_000, 7)) == left != decayed(4096, content, PowerLoss(100_000, 7))
    assert decayed(0, content, PowerLoss(0)) == content
    assert not any(decayed(0, content, PowerLoss(1_000_000)))


def test_what_the_loader_writes_is_as_it_writes_it() -> None:
    content = bytes(range(1, 17))
    loaded = [range(0, 2), range(4, 6), range(14, 40)]
    assert list(_left(0, content, loaded)) == [(2, b"\x03\x04"), (6, bytes(range(7, 15)))]
    assert list(_left(0, content, [])) == [(0, content)]


def test_a_plan_has_losses_of_power(tmp_path: Path, bench: Bench) -> None:
    (tmp_path / "plan.toml").write_text(
        '[campaign]\nseed = 5\n[sampling]\nmethod = "all"\n[[faults]]\nmodel = "power"\nevent = "signal_emitted"\n'
    )
    (stratum,) = strata_of(read_plan(tmp_path / "plan.toml"), bench)
    assert [stratum.space.injection(number) for number in stratum.numbers] == [
        Injection(PowerLoss(decay, 5), SIGNALLED) for decay in (0, 10_000, 1_000_000)
    ]


def test_an_impossible_decay_is_one_line(bench: Bench) -> None:
    with pytest.raises(ConfigurationError, match="PowerLoss: decay is 1000001; it must be 0 to 1000000"):
        bench.run(Injection(PowerLoss(1_000_001), SIGNALLED))
