"""The contract of a guest engine: the coprocessor that executes the guest at CPL 3.

An engine runs the guest until it needs the machine, and returns the reason. Nothing outside an engine may depend on
which one runs. Times are virtual nanoseconds, counted since the previous departure.
"""

from collections.abc import Callable
from enum import Enum
from typing import Protocol

import msgspec

from machine.state import State


class TrapKind(Enum):
    """The kinds of WebAssembly traps, by their equivalents on hardware (WebAssembly core specification, 4.4)."""

    MEMORY_OUT_OF_BOUNDS = "memory out of bounds"
    STACK_OVERFLOW = "stack overflow"
    ILLEGAL = "illegal operation"
    DIVIDE = "divide error"


class HostCall(msgspec.Struct, frozen=True, gc=False):
    """The guest called a function of the `aether` namespace; the next `resume` answers it."""

    number: int
    argument: int
    elapsed_ns: int


class Trapped(msgspec.Struct, frozen=True, gc=False):
    """The guest trapped and is over. `detail` is WebAssembly's own name for the trap."""

    kind: TrapKind
    detail: str
    elapsed_ns: int


class Returned(msgspec.Struct, frozen=True, gc=False):
    """`_start` returned and the guest is over."""

    elapsed_ns: int


class Preempted(msgspec.Struct, frozen=True, gc=False):
    """The budget is used up. `elapsed_ns` may exceed it: engines yield only at certain places, such as loop headers."""

    elapsed_ns: int


Departure = HostCall | Trapped | Returned | Preempted


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One function call of a guest, and the guest's place in it."""

    function: int
    """Function index."""
    offset: int | None
    """Offset of the instruction, in bytes from the start of the module.

    At a function's entry it may precede the first instruction, or be None.
    """


class Backtrace(msgspec.Struct, frozen=True):
    """A guest's place in its module."""

    module: bytes
    """The module to which the offsets refer: the compiled one, without signatures."""
    frames: tuple[Frame, ...]
    """The active calls, the innermost first. An engine may report only the first `MAX_FRAMES`."""


MAX_FRAMES = 20
"""If there are this many frames, outer ones may be missing."""


class GuestStore(msgspec.Struct, frozen=True):
    """The last write of a guest to some bytes of its memory."""

    module: bytes
    """The module to which the offset refers: the compiled one, without signatures."""
    offset: int | None
    """Offset of the instruction, in bytes from the start of the module; None if the data segments wrote them."""


StoreFinder = Callable[[], GuestStore | None]
"""Finds the last store of a guest to some bytes, up to a position in its run, by repeating it.

Raises Cancelled. The result is None if the bytes were changed from outside.
"""


class HeapWindow(msgspec.Struct, frozen=True):
    """The guest heap of the machine in the address space of this process.

    A linear memory of n bytes occupies the last n bytes of the heap, directly before the guard. `reserve`
    is the size in bytes of the inaccessible address space after the heap; if it is 0, the engine must check bounds
    itself.
    """

    host_address: int
    size: int
    reserve: int


class GuestEngine(Protocol):
    """The guest engine of one enclave, which runs one guest at a time.

    The places at which a guest is preempted depend only on its instructions and the budgets. The time of a departure
    does not depend on earlier preemptions.
    """

    def instantiate(self, payload: int) -> int:
        """Make a fresh guest of an admitted payload, not started yet.

        An older guest is dropped. The heap must be zero. The first `resume` writes the data segments and enters
        `_start`.

        Args:
            payload: The number of the payload, from 0.

        Returns:
            The size of the guest's linear memory in bytes.

        Raises:
            ValueError: There is no such payload.
        """

    def resume(self, result: int, budget_ns: int) -> Departure:
        """Run the guest until it departs.

        Args:
            result: The answer to the guest's pending host call, if any.
            budget_ns: Time from now after which the guest is preempted, at the next possible place. Values below 1
            count as 1, so that every call makes progress.

        Returns:
            The reason for the departure.

        Raises:
            ValueError: There is no guest, or it is over.
        """

    def catch_up(self) -> None:
        """Bring the guest to its position in a loaded state.

        It takes as long as the guest has computed so far. `resume` does it, too; this call can be cancelled without any
        effect.
        """

    def destroy(self) -> None:
        """Drop the guest, suspended or not. Without a guest it does nothing."""

    def save_state(self) -> State:
        """Return the payloads and the progress of the guest. The machine saves the guest's memory."""

    def load_state(self, state: State) -> None:
        """Return to a state of this engine. A guest that had started catches up when it is next resumed."""
