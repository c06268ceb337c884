"""A verification is cancelled during one of its runs."""

from threading import Event
from time import process_time

import pytest

from enclave_sim.cancellation import Cancellation, Cancelled
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.guarantees.observation import Scenario, observe_scenario
from enclave_sim.inspector.model.guarantees import Verification
from enclave_sim.inspector.threads.verification_thread import Verifying
from tests.enclave_sim.inspector.driving import million_additions_s

_LONG = {
    "sleeps": Scenario("counter", EnclaveOptions.of(cycles=1_000_000), limit_ns=None),
    "computes": Scenario("spinner", EnclaveOptions.of(cycles=1_000_000), limit_ns=None),
    "flat guest": Scenario(b"\xeb\xfe", EnclaveOptions.of(engine="native"), limit_ns=None),
}


@pytest.mark.slow
@pytest.mark.parametrize("scenario", _LONG.values(), ids=list(_LONG))
def test_to_cancel_ends_the_run_that_goes_on(scenario: Scenario) -> None:
    cancelled_s(scenario)


@pytest.mark.speed
@pytest.mark.parametrize("scenario", _LONG.values(), ids=list(_LONG))
def test_to_cancel_ends_the_run_that_goes_on_within_ten_times_a_million_additions(scenario: Scenario) -> None:
    reference = million_additions_s(process_time)
    assert cancelled_s(scenario) < 10 * reference


def cancelled_s(scenario: Scenario) -> float:
    """Processor time from the cancellation of an endless run to its end."""
    begun = Event()
    told: list[Verification] = []

    def tell(state: Verification) -> None:
        told.append(state)
        begun.set()

    verifying = Verifying(scenario)
    verifying.start(tell)
    assert begun.wait(300)
    verifying._thread.join(0.5)
    assert verifying.goes_on
    at = process_time()  # of this process, without other load on the host
    verifying.cancel()
    verifying._thread.join(300)
    assert not verifying.goes_on
    taken = process_time() - at
    assert told[-1] == Verification("", (), "cancelled")
    return taken


def test_an_observed_run_is_cancelled_at_an_event() -> None:
    events = 0

    def is_enough() -> bool:
        nonlocal events
        events += 1
        return events == 20

    with pytest.raises(Cancelled):
        observe_scenario(_LONG["sleeps"], Cancellation(is_enough))
    assert events == 20
