"""The calls of a function are those that the run's events and single steps show."""

from pathlib import Path

import pytest

from enclave_sim.enclave.kernel.bare_kernel import BareKernel
from enclave_sim.errors import ConfigurationError
from enclave_sim.events import Scrubbed
from enclave_sim.time_travel import Position, Session, Travel
from tests.c_kernel import compiled
from tests.machine.boot import images

FACTORIAL = bytes.fromhex("bc00002000 6a05 e80700000083c404 b02a e6f4") + bytes.fromhex(
    "8b442404 83f801 740f 48 50 e8f0ffffff 83c404 0faf442404 c3"
)
"""In 32-bit code: 5! by a recursive function, whose argument is on the stack."""
FUNCTION = images.BASE + 12 + 19


def test_the_calls_of_the_scrubber_are_the_events_of_scrubbing() -> None:
    session = Session("counter", cycles=2)
    session.run_to(event="cycle_ended")
    here = session.now
    calls = session.calls("scrub")
    assert session.now == here
    scrubbed = [event for event in session.events if isinstance(event, Scrubbed)]
    assert len(calls) > 9
    for call in calls:
        assert call.returned is not None
        during = [one for one in scrubbed if call.position.at_ns < one.at_ns <= call.returned.at_ns]
        assert [(one.base, one.size) for one in during] == [(call.arguments["base"], call.arguments["size"])]
        assert call.duration_ns == call.returned.at_ns - call.position.at_ns
        assert session.program.symbol(call.caller)
    (running,) = session.calls("exec_loop")
    assert (running.returned, running.result, running.duration_ns) == (None, None, None)


def test_a_recursive_function_is_called_by_itself() -> None:
    image = images.kernel1(code=FACTORIAL)
    run = Travel(lambda recorder: BareKernel("kernel", image, ram_bytes=4 << 20, recorder=recorder))
    run.resume()
    calls = run.calls(FUNCTION)
    assert [call.arguments["argument 1"] for call in calls] == [5, 4, 3, 2, 1]
    assert [call.result for call in calls] == [120, 24, 6, 2, 1]
    assert len({call.caller for call in calls}) == 2
    durations = [call.duration_ns or 0 for call in calls]
    assert durations == sorted(durations, reverse=True)
    run.go_to(calls[-1].position)
    assert [call.result for call in run.calls(FUNCTION)] == [None] * 4


@pytest.mark.slow
def test_a_function_of_a_32_bit_kernel_has_its_argument_and_result(tmp_path: Path) -> None:
    image = compiled(tmp_path)
    run = Travel(lambda recorder: BareKernel("kernel.elf", image.read_bytes(), recorder=recorder))
    run.run_to(symbol="first")
    assert run.step() > Position(0)
    (begun,) = run.calls("first")
    assert (begun.returned, begun.result) == (None, None)
    run.resume()
    (call,) = run.calls("first")
    assert call.result == 30
    assert call.returned is not None
    run.go_to(call.returned)
    assert run.machine.cpu.linear_rip == call.caller


def test_what_is_no_symbol_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="the kernel has no symbol 'scrubb'; did you mean"):
        Session("counter").calls("scrubb")
