"""Events of runs, with inputs and without."""

from functools import cache
from typing import Any

from enclave_sim import Enclave
from machine.events import Event


def events_of(payload: str = "counter", **options: Any) -> list[Event]:
    """The events of a run."""
    enclave = Enclave(payload, **options)
    enclave.run()
    assert enclave.recording is not None
    return enclave.recording.events


@cache
def calm() -> list[Event]:
    return events_of(cycles=3)
