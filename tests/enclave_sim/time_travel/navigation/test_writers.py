"""Every writer is dated and named alike, wherever one asks: the truth is a comparison after each single step."""

import functools
from typing import Any

import pytest

from enclave_sim.enclave.kernel.bare_kernel import BareKernel
from enclave_sim.time_travel import Position, Travel
from enclave_sim.time_travel.position import NoSuchPosition
from tests.enclave_sim.time_travel.navigation.writing_kernel import WRITERS, kernel


def travel() -> Travel[BareKernel]:
    image = kernel()
    return Travel(lambda recorder: BareKernel("kernel", image, ram_bytes=8 << 20, recorder=recorder))


@functools.cache
def changes() -> dict[str, tuple[Position, ...]]:
    """The positions after which the bytes of each writer are others than before, by comparison after each step."""
    run = travel()
    found: dict[str, list[Position]] = {name: [] for name in WRITERS}

    def contents() -> dict[str, bytes]:
        return {name: run.machine.ram.read(where.start, len(where)) for name, where in WRITERS.items()}

    before = contents()
    while True:
        try:
            run.step()
        except NoSuchPosition:
            return {name: tuple(positions) for name, positions in found.items()}
        now = contents()
        for name in WRITERS:
            if now[name] != before[name]:
                found[name].append(run.now)
        before = now


def test_the_kernel_writes_in_all_the_ways() -> None:
    counts = {name: len(positions) for name, positions in changes().items()}
    assert counts == {"fw_cfg": 1, "a page walk": 3, "interrupt delivery": 1, "code": 1}  # a store makes the entry


@pytest.mark.parametrize("name", WRITERS)
def test_the_last_write_is_the_same_wherever_one_asks(name: str) -> None:
    where, last = WRITERS[name], changes()[name][-1]
    run, answers = travel(), set()
    for at_ns in range(last.at_ns, last.at_ns + 30, 3):
        run.go_to(Position(at_ns))
        write = run.last_write(where.start, len(where))
        assert write is not None
        assert run.now == Position(at_ns)
        answers.add((write.position, write.by))
    ((position, by),) = answers
    assert position == last
    assert by.startswith(name)


@pytest.mark.parametrize("name", WRITERS)
def test_a_watchpoint_stops_at_each_write_in_both_directions(name: str) -> None:
    where, wanted = WRITERS[name], changes()[name]
    run: Travel[Any] = travel()
    run.add_watchpoint(where.start, len(where))
    forwards = []
    while (stopped := run.resume()).why is not None:
        forwards.append(stopped.position)
    backwards = []
    while (stopped := run.reverse_resume()).why is not None:
        backwards.append(stopped.position)
    assert tuple(dict.fromkeys(forwards)) == wanted
    assert tuple(dict.fromkeys(reversed(backwards))) == wanted
