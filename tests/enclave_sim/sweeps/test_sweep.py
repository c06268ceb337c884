"""Sweeps: equal runs are found as by brute force, examples repeat, and an interrupted sweep loses nothing."""

from pathlib import Path

import pytest

from enclave_sim import Enclave
from enclave_sim.errors import ConfigurationError
from enclave_sim.sweeps import Arrival, Outcome, Sweep, Table
from enclave_sim.sweeps import sweep as module
from enclave_sim.sweeps.outcomes import Entry, Example, joined

BOOT, GATE, SLEEP, END = 138_114, 1_389_110, 1_463_992, 2_952_140
TAMPER = Outcome(Arrival.TAMPER, "TAMPER", "NMI", "EXEC_LOOP", ())


def counter(start_ns: int, ns: int, *, collapse: bool = True) -> Sweep:
    return Sweep("counter", cycles=2, window=range(start_ns, start_ns + ns), collapse=collapse)


def without_executed(table: Table) -> list[tuple[Outcome, int, Example]]:
    return [(one.outcome, one.runs, one.first) for one in table.entries]


@pytest.mark.slow
@pytest.mark.parametrize("start_ns", [BOOT, GATE, SLEEP, END])
def test_equal_runs_are_found_as_by_brute_force(start_ns: int) -> None:
    collapsed, brute = counter(start_ns, 40).run(), counter(start_ns, 40, collapse=False).run()
    assert without_executed(collapsed) == without_executed(brute)
    assert brute.executed == brute.runs == collapsed.runs
    assert collapsed.executed < brute.executed


@pytest.mark.slow
@pytest.mark.parametrize("start_ns", [GATE, SLEEP])
def test_the_first_run_of_each_class_is_that_of_a_fresh_enclave(start_ns: int) -> None:
    for one in counter(start_ns, 40).run().entries:
        result = Enclave("counter", cycles=2, inputs=[one.outcome.arrival.at(one.first.at_ns)]).run()
        assert (result.digest, result.outcome) == (one.first.digest, one.outcome.outcome)


@pytest.mark.slow
def test_every_instant_is_tried_even_in_a_sleep() -> None:
    sweep = counter(SLEEP, 1_000_100)
    asleep, woken = 1_464_023, 2_464_015
    assert (asleep + woken) // 2 in sweep.points
    assert sweep.points[0] == SLEEP
    assert set(range(SLEEP, asleep + 1)) <= set(sweep.points)
    assert sweep.runs == 3 * len(sweep.points)
    outcomes = {one.outcome.taken_in for one in sweep.run().entries if one.outcome.arrival is Arrival.EXTERNAL}
    assert outcomes == {"EXEC_LOOP"}


def test_an_nmi_before_any_idt_is_no_annihilation_and_the_tamper_line_waits() -> None:
    table = Sweep("beacon", window=range(4)).run()
    found = {one.outcome.arrival: one.outcome for one in table.entries}
    assert found[Arrival.NMI].outcome == "KERNEL_STOPPED"
    assert found[Arrival.NMI].verdict == "NOT ANNIHILATED"
    assert not table.holds
    assert found[Arrival.TAMPER] == Outcome(Arrival.TAMPER, "TAMPER", "NMI", "PROT_ENTRY", ())
    assert found[Arrival.EXTERNAL].taken_in == "EXEC_LOOP"


@pytest.mark.slow
def test_an_interrupted_sweep_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART", 10)
    state, expected = tmp_path / "state.json", counter(GATE, 40).run()

    def interrupt(done: int) -> None:
        if done >= 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        counter(GATE, 40).run(state=state, progress=interrupt)
    seen: list[int] = []
    assert without_executed(counter(GATE, 40).run(state=state, progress=seen.append)) == without_executed(expected)
    assert seen[0] == 10
    assert counter(GATE, 40).run(state=state).runs == expected.runs


def test_the_state_of_another_sweep_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    counter(GATE, 5).run(state=state)
    with pytest.raises(ConfigurationError, match="is the state of another sweep; name a new file"):
        counter(GATE, 20).run(state=state)
    state.write_text("{}")
    with pytest.raises(ConfigurationError, match="is not the state of a sweep; name a new file"):
        counter(GATE, 5).run(state=state)


@pytest.mark.slow
def test_processes_share_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART", 15)
    assert without_executed(counter(GATE, 40).run(jobs=2)) == without_executed(counter(GATE, 40).run())


def test_a_window_without_an_instant_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="the run has no instant in this window"):
        counter(50_000_000, 10)
    with pytest.raises(ConfigurationError, match="a sweep needs something that arrives"):
        Sweep("beacon", kinds=[], window=range(10))


def test_classes_are_joined_with_the_earliest_example() -> None:
    late, early = (Table((Entry(TAMPER, 2, 1, Example(at_ns, "")),)) for at_ns in (9, 5))
    assert joined([late, early]).entries == (Entry(TAMPER, 4, 2, Example(5, "")),)
    broken = Outcome(Arrival.NMI, "TAMPER", "NMI", "MEM_MAP", ("zero-trace", "isolated"))
    table = joined([late, Table((Entry(broken, 1, 1, Example(3, "")),))])
    assert not table.holds
    assert str(table).splitlines()[1].endswith("BROKEN: zero-trace, isolated")
