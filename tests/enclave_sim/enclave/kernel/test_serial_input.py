"""A kernel's typed input arrives at its time, however and in whichever direction the kernel is run."""

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.enclave.kernel.bare_kernel import BareKernel
from enclave_sim.enclave.kernel.serial_input import typed_in
from enclave_sim.errors import ConfigurationError
from enclave_sim.time_travel import Position
from enclave_sim.time_travel.travel import Travel
from machine.events import Event, SerialReceived
from machine.machine import Outcome
from tests.enclave_sim.enclave.kernel.serial_kernels import ECHO, RECEIVE_AND_LEAVE, on_interrupt
from tests.machine.boot import images

TYPED = ((40, b"a"), (40, b"b"), (95, b"cd"), (300, b"q"))


class Events(list[Event]):
    def record(self, event: Event) -> None:
        self.append(event)


def kernel(typed: tuple[tuple[int, bytes], ...], code: bytes = ECHO) -> tuple[BareKernel, Events]:
    events = Events()
    return BareKernel("kernel", images.kernel1(code=code), ram_bytes=4 << 20, typed=typed, recorder=events), events


def finish(subject: BareKernel) -> bytes:
    while subject.exit_status is None:
        assert subject.advance(100_000) is not Outcome.LIMIT
    return bytes(subject.machine.uart.transmitted)


def test_bytes_come_at_their_times_and_are_recorded() -> None:
    subject, events = kernel(TYPED)
    assert finish(subject) == b"bcde"
    came = [(one.at_ns, one.data) for one in events if isinstance(one, SerialReceived)]
    assert came == [(at_ns, data.hex()) for at_ns, data in TYPED]
    assert typed_in(events) == TYPED


@given(st.lists(st.tuples(st.integers(0, 120), st.binary(min_size=1, max_size=3)), max_size=6))
def test_what_is_typed_while_it_runs_is_a_run_that_can_be_made_again(keys: list[tuple[int, bytes]]) -> None:
    first, events = kernel(())
    for wait_ns, data in [*keys, (50, b"q")]:
        first.advance(first.machine.clock.now_ns + wait_ns)
        if first.exit_status is None:
            first.serial_input.receive(data)
    sent = finish(first)
    again, repeated = kernel(typed_in(events))
    assert (finish(again), repeated) == (sent, events)
    assert first.serial_input.typed == list(typed_in(events))


def test_a_byte_wakes_a_kernel_that_nothing_else_wakes() -> None:
    subject, events = kernel((), on_interrupt(RECEIVE_AND_LEAVE))
    assert subject.advance(5_000) is Outcome.HALTED
    assert subject.machine.waits
    subject.serial_input.receive(b"!")
    assert not subject.machine.waits
    assert finish(subject) == b">!"
    again, repeated = kernel(typed_in(events), on_interrupt(RECEIVE_AND_LEAVE))
    assert (finish(again), repeated) == (b">!", events)


def test_a_kernel_that_may_not_be_interrupted_does_not_wait() -> None:
    subject, _ = kernel((), bytes.fromhex("fa f4"))
    assert subject.advance(5_000) is Outcome.HALTED
    assert not subject.machine.waits


def travel() -> Travel[BareKernel]:
    image = images.kernel1(code=ECHO)
    return Travel(lambda recorder: BareKernel("k", image, ram_bytes=4 << 20, typed=TYPED, recorder=recorder))


def state(run: Travel[BareKernel]) -> tuple[object, ...]:
    cpu = run.machine.cpu
    return run.now, cpu.rip, cpu.registers.rax, bytes(run.machine.uart.transmitted), len(run.events)


@functools.cache
def forwards() -> tuple[tuple[object, ...], ...]:
    run, end = travel(), travel()
    end.resume()
    states = [state(run)]
    while run.now < end.now:
        run.step()
        states.append(state(run))
    return tuple(states)


def test_an_input_is_a_step_of_its_own() -> None:
    before, after = ([one for one in forwards() if one[0] == Position(40, step)] for step in (0, 1))
    assert (before[0][1], before[0][4] + 1) == (after[0][1], after[0][4])  # type: ignore[operator]


@given(st.lists(st.deferred(lambda: st.integers(0, len(forwards()) - 1)), min_size=1, max_size=6))
def test_any_position_is_reached_from_any_other(places: list[int]) -> None:
    run = travel()
    for place in places:
        position = forwards()[place][0]
        assert isinstance(position, Position)
        run.go_to(position)
        assert state(run) == forwards()[place]


def test_bytes_of_a_foreign_event_are_an_error() -> None:
    with pytest.raises(ConfigurationError, match="serial_received"):
        typed_in([SerialReceived(0, 0, "no")])
