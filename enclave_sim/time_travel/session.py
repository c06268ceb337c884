"""The run of an enclave that is gone through."""

from collections.abc import Callable
from typing import Any

from enclave_sim.enclave.enclave import Enclave
from enclave_sim.time_travel.navigation.debugger import Travel
from machine.events import Recorder


def enclave_of(payload: Any, **options: Any) -> Callable[[Recorder], Enclave]:
    """What makes an enclave for a `Travel`. The arguments are those of `Enclave`."""
    return lambda recorder: Enclave(payload, recorder=recorder, record=False, **options)


class Session(Travel[Enclave]):
    """The arguments are those of `Enclave`."""

    def __init__(self, payload: Any = "beacon", **options: Any) -> None:
        super().__init__(enclave_of(payload, **options))

    @property
    def enclave(self) -> Enclave:
        """The enclave as it is at the current position. It may be looked at freely, and must not be run by others."""
        return self.subject
