"""State as bytes: every type declared as state can be decoded, and no other."""

from collections import deque
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.inputs import AfterEvent, Tamper
from enclave_sim.specification import Cause, Phase
from enclave_sim.time_travel.state_codec import decode, encode
from machine.interrupts.interrupt_returns import Entered

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(), st.binary(), st.sampled_from(Phase), st.sampled_from(Cause)
)
KEYS = st.integers() | st.text()
STATES = st.recursive(
    LEAVES | st.binary().map(bytearray) | st.builds(Entered, *[st.integers(0, 1 << 64)] * 4),
    lambda inner: (
        st.lists(inner) | st.lists(inner).map(tuple) | st.lists(inner).map(deque) | st.dictionaries(KEYS, inner)
    ),
    max_leaves=20,
)


@given(state=STATES)
def test_what_is_encoded_comes_back_with_its_types(state: Any) -> None:
    back = decode(encode(state))
    assert back == state
    assert repr(back) == repr(state)


def test_an_input_comes_back() -> None:
    given = Tamper(at_ns=5, after=AfterEvent("cycle_began", {"cycle": 1}))
    assert decode(encode([(5, 0, given)])) == [(5, 0, given)]


@pytest.mark.parametrize("value", [object(), 1.5, {1}, lambda: None, [object()], {"a": 1.5}])
def test_what_is_not_a_state_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="is not a type of state"):
        encode(value)


@pytest.mark.parametrize("content", [["eval", "1"], ["list"], ["Phase", 99], ["Entered", [1]], {"a": 1}, ["int", []]])
def test_what_encode_has_not_made_is_refused(content: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(msgspec.msgpack.encode(content))
