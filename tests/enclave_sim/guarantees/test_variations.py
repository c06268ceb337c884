"""The same run with another secret: only bytes of active data segments change."""

from collections.abc import Callable
from random import Random

import pytest
from wasmtime import wat2wasm

from enclave_sim import ConfigurationError
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.guarantees import Scenario, with_other_data, with_other_memory, with_other_uplink, with_other_wake
from enclave_sim.guarantees.variations import replace_data
from enclave_sim.inputs import GuestReplaced, Tamper
from enclave_sim.payload.keys import SigningKey, development_key
from enclave_sim.payload.signature import sign, strip, verify
from enclave_sim.payload.wasm.sections import sections
from payloads import read


def module(data: str) -> bytes:
    return bytes(wat2wasm(f'(module (memory 1) {data} (func (export "_start")))'))


SEGMENTS = (
    r'(data (i32.const 0) "\aa\aa\aa\aa") (data (i32.const 100) "") (data (i32.const 65000) "\bb\bb\bb\bb\bb")'
    r'(data (i32.const 0x2000) "\cc")'
)


def positions(content: bytes, byte: int) -> list[int]:
    return [at for at, found in enumerate(content) if found == byte]


def test_every_byte_of_every_active_segment_is_drawn_anew_and_no_other_byte_changes() -> None:
    """Also after an offset of several bytes: 65000 takes three in LEB128, with bit 7 set in all but the last."""
    original = module(SEGMENTS)
    data = next(section for section in sections(original) if section.id == 11)
    secret = [at for at in range(data.offset, data.end) if original[at] in (0xAA, 0xBB, 0xCC)]
    assert len(secret) == 10
    changed = [replace_data(original, Random(seed)) for seed in range(40)]
    assert all(new is not None and len(new) == len(original) for new in changed)
    seen: set[int] = set()
    for new in changed:
        assert new is not None
        seen |= {at for at in range(len(original)) if new[at] != original[at]}
    assert seen == set(secret)


@pytest.mark.parametrize("offset", [0, 11, 63, 64, 11 << 7, 11 << 7 | 11, 11 << 14, 8192])
def test_the_offset_of_a_segment_may_hold_the_byte_that_ends_an_expression(offset: int) -> None:
    original = module(rf'(data (i32.const {offset}) "\aa\aa\aa\aa\aa\aa\aa\aa")')
    for seed in range(5):
        changed = replace_data(original, Random(seed))
        assert changed is not None
        assert {at for at in range(len(original)) if changed[at] != original[at]} <= set(positions(original, 0xAA))
        assert len(changed) == len(original)


def test_a_seed_draws_the_same_bytes() -> None:
    first, again, other = (replace_data(module(SEGMENTS), Random(seed)) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("data", ["", '(data (i32.const 0) "")', r'(data "\aa\aa")'])
def test_a_module_without_active_bytes_has_no_secret(data: str) -> None:
    assert replace_data(module(data), Random(1)) is None


def test_segments_after_one_that_is_not_active_are_left_alone() -> None:
    """The guest's profile has no passive segments; the length of their headers is not known here."""
    mixed = module(r'(data (i32.const 0) "\aa\aa\aa\aa") (data "\bb\bb") (data (i32.const 9) "\cc\cc\cc\cc")')
    changed = replace_data(mixed, Random(3))
    assert changed is not None
    assert changed != mixed
    tail = mixed.index(b"\xbb\xbb")
    assert changed[tail:] == mixed[tail:]


def test_the_module_is_signed_again_by_the_key_that_is_given() -> None:
    key = SigningKey("alice", bytes(32), bytes(32), development=False)
    signed = sign(module(SEGMENTS), key)
    for given, signer in ((key, key), (None, development_key())):
        (payload,) = with_other_data(Scenario([signed]), 1, given).payload
        assert verify(payload, [signer.anchor()]).content == strip(payload) != strip(signed)


def test_a_payload_without_a_secret_goes_along_unchanged() -> None:
    signed, plain = sign(module(SEGMENTS), development_key()), read("counter")
    scenario = Scenario([signed, plain], EnclaveOptions.of(cycles=2), (Tamper(at_ns=5),), 77)
    changed = with_other_data(scenario, 1)
    assert (changed.options, changed.inputs, changed.limit_ns) == (scenario.options, (Tamper(at_ns=5),), 77)
    assert changed.payload[0] != signed
    assert changed.payload[1] == plain
    assert len(changed.payload) == 2


def test_a_flat_binary_has_no_data_segments() -> None:
    with pytest.raises(ConfigurationError, match="a flat binary has no data segments"):
        with_other_data(Scenario("runner", EnclaveOptions.of(engine="native")), 1)


@pytest.mark.parametrize("vary", [with_other_uplink, with_other_wake, with_other_memory])
def test_other_inputs_differ_between_consecutive_seeds_and_all_else_stays(vary: Callable[..., Scenario]) -> None:
    scenario = Scenario("beacon", EnclaveOptions.of(cycles=3), (Tamper(at_ns=5),), 77)
    first, again, other = (vary(scenario, seed) for seed in (1, 1, 2))
    assert first == again != other
    for one in (first, other):
        assert (one.payload, one.options, one.limit_ns) == ("beacon", scenario.options, 77)
        assert Tamper(at_ns=5) in one.inputs


def test_a_scenario_is_named_after_what_runs_in_it() -> None:
    assert Scenario("beacon", inputs=(Tamper(at_ns=1),)).name == "beacon"
    assert Scenario(["beacon", b"abc"]).name == "beacon, 3 bytes"
    assert Scenario("beacon", inputs=(GuestReplaced(at_ns=1, payload=0, code=b""),)).name == "a replaced guest"
