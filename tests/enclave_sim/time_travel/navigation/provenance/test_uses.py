"""`where_to`: what becomes of a value, against the trees of `where_from` and by single steps."""

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import firmware
from enclave_sim.errors import ConfigurationError
from enclave_sim.time_travel import Session
from enclave_sim.time_travel.navigation.provenance.answers import Happened, Role, Value
from enclave_sim.time_travel.navigation.provenance.places import Place
from enclave_sim.time_travel.position import NoSuchPosition, Position

STATUS = firmware.built_in().symbols["status"]


@functools.cache
def session() -> Session:
    return Session("counter", cycles=2)


def at_call() -> Session:
    run = session()
    run.go_to(Position(0))
    run.run_to(symbol="host_call")
    return run


def test_a_register_is_used_until_it_is_overwritten() -> None:
    run = at_call()
    here = run.now
    uses = run.where_to("rdi")
    assert run.now == here
    assert [use.happened for use in uses[:-1]] == [Happened.USED] * (len(uses) - 1)
    assert uses[-1].happened is Happened.OVERWRITTEN
    assert uses[0].instruction == "test rdi, rdi"
    assert (uses[0].role, uses[0].made) == (Role.DATA, (Place("rflags", 0, 8),))


def test_memory_is_used_across_a_sleep() -> None:
    uses = at_call().where_to(STATUS, 4)
    assert uses[-1].happened is Happened.OVERWRITTEN
    assert uses[0].position > session().now
    assert any(use.role is Role.DATA for use in uses)


def test_limits_are_uses_of_their_own() -> None:
    run = at_call()
    assert [use.happened for use in run.where_to("rsi", most=1)] == [Happened.USED, Happened.LIMIT]
    assert run.where_to("r15", within=1)[-1].happened is Happened.LIMIT
    with pytest.raises(ConfigurationError, match="'eks' cannot be asked for"):
        run.where_to("eks")


@settings(max_examples=25)
@given(at=st.integers(1_386_000, 1_454_000), name=st.sampled_from(["rax", "rcx", "rdx", "rdi", "rsi", "r8"]))
def test_a_source_of_a_value_has_the_value_among_its_uses(at: int, name: str) -> None:
    run = session()
    try:
        run.go_to(Position(at))
    except NoSuchPosition:
        return
    for source, origin_place, position in _edges(run.where_from(name, depth=2)):
        if not source.place.in_memory or source.content:
            uses = run.where_to(source, most=200)
            made = [place for use in uses if use.position == position for place in use.made]
            assert any(place.common(origin_place) for place in made) or uses[-1].happened is Happened.LIMIT


def _edges(value: Value) -> list[tuple[Value, Place, Position]]:
    found = []
    for origin in value.origins:
        for source in origin.sources:
            if source.value is not None and source.role is Role.DATA and origin.position is not None:
                if not source.value.place.space.startswith("value") and "guest" not in origin.by:
                    found.append((source.value, origin.place, origin.position))
                found += _edges(source.value)
    return found
