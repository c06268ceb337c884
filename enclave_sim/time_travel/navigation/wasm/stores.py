"""Stores of a resident guest, by function and offset in its module."""

from typing import Any

from enclave_sim.errors import ConfigurationError
from enclave_sim.payload.wasm.places import store_text
from enclave_sim.time_travel.navigation.visits import Visits
from enclave_sim.time_travel.navigation.wasm.steps import WasmSteps
from enclave_sim.time_travel.position import NoSuchPosition, Position
from enclave_sim.time_travel.timeline.timeline import Timeline


def store_of_guest(timeline: Timeline[Any], position: Position, rip: int) -> str | None:
    """Describe a store of the interpreter by the WebAssembly instruction that it executed. The run may move.

    Args:
        timeline: The run.
        position: The position after the store.
        rip: The address of the instruction that stored.

    Returns:
        The text of `store_text`; None if the interpreter did not store, or no guest is resident.
    """
    try:
        steps = WasmSteps(timeline, Visits(timeline))
    except ConfigurationError:
        return None
    if not steps.executes(rip):
        return None
    timeline.go_to(position)
    guest = steps.guest()
    try:
        steps.back()
    except NoSuchPosition:
        return None  # it was entering `_start`
    state = steps.state
    return None if state is None or steps.guest() != guest else store_text(state.module, state.frames[0].offset)
