"""Guided search: it keeps what is new, repeats itself exactly, and its failures shrink as always."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis.database import InMemoryExampleDatabase

from enclave_sim import Enclave, Template
from enclave_sim.errors import ConfigurationError
from enclave_sim.strategies.guided import Guide, search
from firmware import built_in
from tests.enclave_sim.strategies.guided.lives import guest, inputs, lives, template

Life = tuple[list[int], bool, int | None]


def started(bench: Template, life: Life) -> Enclave:
    signals, ready, wake = life
    return bench.start(guest(signals), inputs=inputs(bench.at_ns, ready, wake))


def signals_of(bench: Template, life: Life) -> tuple[int, ...]:
    return started(bench, life).run().signals


def test_the_guest_sends_what_is_drawn() -> None:
    assert signals_of(template(built_in(), None), ([3, 1, 63], True, 2)) == (3, 1, 63, 3, 1, 63)


def test_a_guide_recognises_what_no_run_has_reached_before() -> None:
    guide = Guide()
    bench = template(built_in(), guide)
    lifetimes: list[Life] = [([1], True, None), ([1], True, None), ([2], True, None), ([1], True, 0), ([], True, None)]
    new = []
    for life in lifetimes:
        enclave = started(bench, life)
        enclave.run()
        new.append(guide.look(enclave))
    assert new == [True, False, False, True, False]


def searched(corpus: Path | None, executions: int = 40, seed: int = 1) -> tuple[int, list[Life]]:
    guide, seen = Guide(), list[Life]()
    bench = template(built_in(), guide)

    @settings(database=None)
    @given(lives)
    def leaves_nothing(life: Life) -> None:
        seen.append(life)
        enclave = started(bench, life)
        result = enclave.run()
        guide.look(enclave)
        assert result.residue_bytes == 0

    found = search(leaves_nothing, guide, executions=executions, seed=seed, corpus=corpus)
    assert found.failure is None
    return found.kept, seen


@pytest.mark.slow
def test_the_same_seed_gives_the_same_examples_and_the_corpus_comes_first(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    kept, seen = searched(one)
    assert (kept, seen) == searched(other)
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    assert len(names) == kept > 1
    again, replayed = searched(one, executions=kept, seed=7)
    assert again == kept
    assert all(life in seen for life in replayed)


def test_a_failure_is_kept_and_shrinks() -> None:
    bench = template(built_in(), None)

    @settings(database=InMemoryExampleDatabase())
    @given(lives)
    def never_sends_seven(life: Life) -> None:
        assert 7 not in life[0], started(bench, life)

    found = search(never_sends_seven, None, executions=10_000)
    assert found.failure is not None
    assert found.message.startswith("AssertionError")
    assert found.executions < 10_000
    with pytest.raises(AssertionError) as error:
        never_sends_seven()
    assert "[7]," in "".join(error.value.__notes__)  # nothing else is left in the list


def test_a_search_can_be_stopped_and_needs_a_property() -> None:
    @given(lives)
    def holds(life: Life) -> None:
        pass

    assert search(holds, None, executions=10, stop=lambda: True).executions == 0
    with pytest.raises(ConfigurationError, match=r"a search needs a test that is decorated with hypothesis\.given"):
        search(lambda: None, None, executions=1)
