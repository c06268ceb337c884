"""The run of an enclave, executed in both directions."""

from collections.abc import Callable, Iterable
from typing import Any

from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.inputs import AnyInput
from enclave_sim.time_travel.travel import Travel
from machine.events import Recorder


def enclave_of(
    payload: Any,
    options: EnclaveOptions,
    inputs: Iterable[AnyInput] = (),
    *,
    cancellation: Cancellation | None = None,
) -> Callable[[Recorder], Enclave]:
    """Return what makes an enclave for a `Travel`."""
    make, given = options.enclave, tuple(inputs)
    return lambda recorder: make(payload, inputs=given, recorder=recorder, record=False, cancellation=cancellation)


class Session(Travel[Enclave]):
    """The run of an enclave, in both directions. The other arguments are those of `EnclaveOptions.of`."""

    def __init__(self, payload: Any = "beacon", *, inputs: Iterable[AnyInput] = (), **options: Any) -> None:
        super().__init__(enclave_of(payload, EnclaveOptions.of(**options), inputs))

    @property
    def enclave(self) -> Enclave:
        """The enclave as it is at the current position. It may be looked at freely, and must not be run by others."""
        return self.subject
