"""A recording is enough to repeat its run, and a different run is detected."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import payloads
from enclave_sim import Attestation, Enclave, Phase
from enclave_sim.errors import EnclaveError
from enclave_sim.events import InputTaken
from enclave_sim.inputs import AnyInput, ExternalInterrupt, MemoryFault, SensorValue, Tamper, UplinkReady
from enclave_sim.memory_map import region
from enclave_sim.payload.keys import SigningKey, development_anchor
from enclave_sim.payload.signature import sign, strip
from enclave_sim.recording.reader import read_header
from enclave_sim.specification import EngineName
from enclave_sim.strategies import host_answers, interrupt_schedules, memory_faults
from enclave_sim.time_travel.replay import replay
from machine.events import Halted, InterruptDelivered
from tests.enclave_sim.conftest import SignGuest
from tests.sampling import sampled

BUILT_IN = [(name, "wasmtime") for name in payloads.names()] + [(name, "native") for name in payloads.flat_names()]
LONG_NS = 60_000_000
OWN_KEY = SigningKey("own", bytes(32), bytes([1]) * 32, development=False)


def saved(enclave: Enclave, directory: Path) -> Path:
    assert enclave.recording is not None
    path = directory / "run.jsonl"
    enclave.recording.save(path)
    return path


def assert_replays(enclave: Enclave, directory: Path) -> None:
    """An enclave's recording so far can be replayed."""
    assert enclave.recording is not None
    again = replay(saved(enclave, directory))
    assert again.divergence is None
    assert (again.digest, again.events) == (enclave.recording.digest, len(enclave.recording.events))


@pytest.mark.parametrize(("name", "engine"), BUILT_IN)
def test_every_built_in_payload_with_inputs(name: str, engine: str, tmp_path: Path) -> None:
    inputs: list[AnyInput] = [SensorValue(at_ns=200_000, sensor=1, value=77), UplinkReady(at_ns=300_000, ready=False)]
    inputs += [ExternalInterrupt(at_ns=at_ns) for at_ns in (1, 270_000, 600_001, 5_000_000)]
    inputs += [MemoryFault(at_ns=310_000, address=region("arena").base, bits=4)]
    enclave = Enclave(name, engine=engine, cycles=3, quantum_ns=300_000, sensors=(1, 2), inputs=inputs)
    enclave.run(LONG_NS)
    assert_replays(enclave, tmp_path)
    assert read_header(tmp_path / "run.jsonl").payloads == ()


@pytest.mark.parametrize(
    "options",
    [
        {"ns_per_instruction": 7},
        {"attestation": Attestation.REQUIRE},
        {"production": True},
        {"arena_bytes": 0},
        {"trust_anchors": []},
        {"trust_anchors": [OWN_KEY.anchor()]},
        {"trust_anchors": [development_anchor(), OWN_KEY.anchor()]},
        {"trust_anchors": [OWN_KEY.anchor(), development_anchor()], "production": True},
        pytest.param({"portable": True}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_every_option_is_in_the_header(options: dict[str, Any], tmp_path: Path) -> None:
    enclave = Enclave(["counter", "beacon"], cycles=3, **options)
    enclave.run()
    assert_replays(enclave, tmp_path)


@pytest.mark.parametrize("features", [(), ("bulk-memory",)])
def test_a_payload_of_ones_own_its_key_and_its_features(
    features: tuple[str, ...], guest: SignGuest, tmp_path: Path
) -> None:
    filling = '(memory 1) (func (export "_start") i32.const 0 i32.const 1 i32.const 9 memory.fill)'
    module = sign(strip(guest(filling)), OWN_KEY)
    enclave = Enclave(
        [module, "beacon", module],
        features=frozenset(features),
        production=True,
        trust_anchors=[OWN_KEY.anchor()],
        cycles=3,
    )
    enclave.run()
    assert_replays(enclave, tmp_path)
    header = read_header(tmp_path / "run.jsonl")
    assert header.payloads == (module,)
    assert header.trust_anchors == (OWN_KEY.anchor(),)


@pytest.mark.parametrize("payload", [b"\0asm", b"no module at all", strip(payloads.read("beacon"))])
def test_a_payload_that_is_refused(payload: bytes, tmp_path: Path) -> None:
    enclave = Enclave(payload)
    assert enclave.run().outcome == "PAYLOAD_REJECTED"
    assert_replays(enclave, tmp_path)


@pytest.mark.parametrize("name", ["spinner", "counter"])
@pytest.mark.parametrize("limit_ns", [1, 100_000, 270_001, 10_000_000, 30_500_000])
def test_a_run_that_ended_at_a_limit_ends_there_again(name: str, limit_ns: int, tmp_path: Path) -> None:
    enclave = Enclave(name, cycles=2)
    enclave.run(limit_ns)
    assert_replays(enclave, tmp_path)


@pytest.mark.parametrize("phase", Phase)
def test_a_recording_saved_in_the_middle_of_a_run(phase: Phase, tmp_path: Path) -> None:
    enclave = Enclave("counter")
    enclave.run_to(phase)
    assert_replays(enclave, tmp_path)
    if phase is Phase.EXEC_LOOP:
        enclave.replace_guest(payloads.read("spinner"))
        assert_replays(enclave, tmp_path)


def test_inputs_after_the_end(tmp_path: Path) -> None:
    enclave = Enclave("counter")
    enclave.run()
    enclave.tamper()
    enclave.interrupt()
    assert_replays(enclave, tmp_path)


def step(enclave: Enclave, data: st.DataObject) -> None:
    """Any inputs that the interface allows."""
    now_ns = enclave.machine.clock.now_ns
    match data.draw(st.sampled_from(["run", "run_to", "step", "take", "replace"])):
        case "run":
            enclave.run(now_ns + data.draw(st.integers(0, 700_000)))
        case "run_to":
            enclave.run_to(data.draw(st.sampled_from(Phase)))
        case "step":
            for _ in range(data.draw(st.integers(1, 30))):
                enclave.step()
        case "take":
            kinds = (interrupt_schedules, host_answers, memory_faults)
            for one in data.draw(st.one_of([kind(0, now_ns, max_size=2) for kind in kinds])):
                enclave.take(one)
        case "replace":
            native = enclave.configuration.engine is EngineName.NATIVE
            with suppress(EnclaveError):  # while a guest runs, say
                enclave.replace_guest(payloads.read_flat("runner") if native else payloads.read("digest"))


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_inputs_that_were_made_while_it_ran_are_made_again(data: st.DataObject, tmp_path: Path) -> None:
    scheduled = data.draw(interrupt_schedules(0, 2_000_000, tamper=False))
    name = data.draw(st.sampled_from(["counter", "spinner", "digest", "surveyor"]))
    enclave = Enclave(
        name,
        cycles=3,
        quantum_ns=200_000,
        inputs=scheduled,
        engine="native" if name in payloads.flat_names() else "wasmtime",
    )
    for _ in range(data.draw(st.integers(0, 8))):
        step(enclave, data)
    if data.draw(st.booleans()):
        enclave.run(LONG_NS)
    assert_replays(enclave, tmp_path)


def test_one_that_came_before_a_scheduled_one_which_was_due(tmp_path: Path) -> None:
    enclave = Enclave("counter", inputs=[SensorValue(at_ns=250_000, sensor=0, value=1)])
    enclave.run(250_000)
    assert enclave.machine.clock.now_ns > 250_000  # the heap is scrubbed in one go
    enclave.take(SensorValue(at_ns=0, sensor=0, value=2))
    enclave.run()
    assert_replays(enclave, tmp_path)


def test_one_that_came_between_two_events_of_one_moment(tmp_path: Path) -> None:
    enclave = Enclave("counter", cycles=2)
    assert enclave.recording is not None
    enclave.boot()
    while not enclave.recording.of_kind(Halted):
        enclave.step()
    while not isinstance(enclave.recording.events[-1], InterruptDelivered):
        enclave.step()
    enclave.interrupt()
    enclave.run()
    taken = enclave.recording.of_kind(InputTaken)[0]
    assert enclave.recording.events[taken.seq - 1].at_ns == taken.at_ns
    assert_replays(enclave, tmp_path)


def test_after_going_back_only_what_is_in_the_recording_counts(tmp_path: Path) -> None:
    enclave = Enclave("counter", cycles=2)
    enclave.boot()
    before = enclave.snapshot()
    enclave.tamper()
    enclave.run()
    enclave.restore(before)
    enclave.interrupt()
    assert enclave.run().outcome == "COMPLETED"
    assert_replays(enclave, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", sampled(["0", "1"], "1"))
def test_in_another_process_place_and_locale(seed: str, tmp_path: Path) -> None:
    inputs: list[AnyInput] = [ExternalInterrupt(at_ns=500_000), Tamper(at_ns=2_000_000)]
    enclave = Enclave(["counter", "digest"], cycles=9, features=frozenset({"simd", "bulk-memory"}), inputs=inputs)
    result = enclave.run()
    path = saved(enclave, tmp_path)
    environment = {**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": "C", "TZ": "Asia/Tokyo", "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-m", "enclave_sim", "replay", path.name]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert result.digest in done.stdout
