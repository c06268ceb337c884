"""A background verification of all guarantees: in another thread, with other enclaves."""

import threading
from collections.abc import Callable

from enclave_sim.cancellation import Cancellation, Cancelled
from enclave_sim.errors import EnclaveError
from enclave_sim.guarantees.observation import Scenario
from enclave_sim.guarantees.verification import verify
from enclave_sim.inspector.model.guarantees import Verification
from machine.errors import MachineError


class Verifying:
    """The verification of a scenario. It can be cancelled at every event of its runs."""

    def __init__(self, scenario: Scenario, runs: int = 2) -> None:
        self._scenario = scenario
        self._runs = runs
        self._cancellation = Cancellation()
        self._state = Verification("begins")
        self._thread = threading.Thread(target=self._work, name="verification", daemon=True)
        self._notify: Callable[[Verification], None] = lambda _state: None

    @property
    def goes_on(self) -> bool:
        """True while it is running."""
        return self._thread.is_alive()

    def start(self, notify: Callable[[Verification], None]) -> None:
        """Start it. `notify` is called from its thread with each new state."""
        self._notify = notify
        self._thread.start()

    def cancel(self) -> None:
        """End it at the next poll of its token."""
        self._cancellation.cancel()

    def _work(self) -> None:
        try:
            reports = verify(self._scenario, runs=self._runs, progress=self._progress, cancellation=self._cancellation)
            for report in reports:
                self._set(Verification(self._state.going_on, (*self._state.reports, report)))
            self._set(Verification("", self._state.reports))
        except Cancelled:
            self._set(Verification("", self._state.reports, "cancelled"))
        except (EnclaveError, MachineError) as error:
            self._set(Verification("", self._state.reports, str(error)))

    def _progress(self, what: str) -> None:
        self._set(Verification(what, self._state.reports))

    def _set(self, state: Verification) -> None:
        self._state = state
        self._notify(state)
