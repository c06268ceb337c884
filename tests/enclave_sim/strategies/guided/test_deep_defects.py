"""Evidence: a guided search finds nearly all of ten deep defects, where the same search without a guide finds few."""

from time import process_time

import pytest
from hypothesis import given, settings

from enclave_sim.strategies.guided import Guide, search
from tests.enclave_sim.strategies.guided.deep_defects import DEFECTS, FORGED, kernel
from tests.enclave_sim.strategies.guided.lives import guest, inputs, lives, template

SECONDS = 600
"""Of one core."""


def found_by(*, guided: bool) -> set[int]:
    guide = Guide() if guided else None
    bench, found = template(kernel(), guide), set[int]()
    end = process_time() + SECONDS

    @settings(database=None)
    @given(lives)
    def look(life: tuple[list[int], bool, int | None]) -> None:
        signals, ready, wake = life
        enclave = bench.start(guest(signals), inputs=inputs(bench.at_ns, ready, wake))
        result = enclave.run()
        if guide is not None:
            guide.look(enclave)
        found.update(signal - FORGED for signal in result.signals if signal >= FORGED)

    search(look, guide, executions=1 << 30, stop=lambda: len(found) == len(DEFECTS) or process_time() > end)
    return found


@pytest.mark.long
def test_a_guided_search_finds_deep_defects_and_an_unguided_one_does_not() -> None:
    assert len(found_by(guided=True)) >= 9
    assert len(found_by(guided=False)) <= 3
