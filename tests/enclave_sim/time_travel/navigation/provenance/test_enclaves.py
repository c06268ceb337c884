"""Values in runs of enclaves come from where they were labelled to come from."""

import pytest

import firmware
from enclave_sim.memory_map import region
from enclave_sim.time_travel.navigation.provenance.answers import Value
from tests.enclave_sim.time_travel.navigation.provenance.enclave_cases import CASES, Case


def _found(case: Case) -> Value:
    session = case.run()
    case.go(session)
    given = case.ask(session) if callable(case.ask) else case.ask
    ask = (given,) if isinstance(given, str) else given
    here = session.now
    value = session.where_from(*ask, depth=case.depth)
    assert session.now == here
    return value


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_ends_are_the_labelled_ones(case: Case) -> None:
    value = _found(case)
    code = firmware.built_in().symbols["host_call"] - region("text").base
    assert value.origins[0].by.startswith(case.first)
    found, labelled = {str(one) for one in value.endings}, {one.format(host_call=f"{code:#x}") for one in case.endings}
    assert found >= labelled if case.some else found == labelled


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_step_is_at_the_position_after_its_write(case: Case) -> None:
    session = case.run()
    for value in _values(_found(case)):
        for origin in value.origins:
            if origin.position is None or not origin.place.in_memory or not value.content:
                continue
            session.go_to(origin.position)
            first = origin.place.start - value.place.start
            content = value.content[first : first + origin.place.size]
            assert session.machine.ram.equals(origin.place.start, content)


def _values(value: Value) -> list[Value]:
    found = [value]
    for origin in value.origins:
        for source in origin.sources:
            found += [] if source.value is None else _values(source.value)
    return found
