"""The contract of a guest engine: the coprocessor that executes the guest at CPL 3.

An engine runs the guest until it needs the machine, and returns the reason. Nothing outside an engine may depend on
which one runs. Times are virtual nanoseconds, counted since the previous departure.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import msgspec

from machine.state import State


class TrapKind(Enum):
    """The kinds of WebAssembly traps, by what they are on real hardware (WebAssembly core specification, 4.4)."""

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
    """The budget is used up. `elapsed_ns` may exceed it: engines yield only at some places, such as loop headers."""

    elapsed_ns: int


Departure = HostCall | Trapped | Returned | Preempted


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One function call of a guest, and the place in it where the guest is."""

    function: int
    """Function index."""
    offset: int | None
    """Offset of the instruction, in bytes from the start of the module. At a function's entry it may precede the first
    instruction, or be None."""


class Backtrace(msgspec.Struct, frozen=True):
    """The place in its module where a guest is."""

    module: bytes
    """The module that the offsets refer to: the one that was compiled, without signatures."""
    frames: tuple[Frame, ...]
    """The calls under way, the innermost first. An engine may report only the first `FRAMES_TOLD`."""


FRAMES_TOLD = 20
"""With this many frames there may be more, further out."""


class GuestStore(msgspec.Struct, frozen=True):
    """The last write of a guest to some bytes of its memory."""

    module: bytes
    """The module that the offset refers to: the one that was compiled, without signatures."""
    offset: int | None
    """Offset of the instruction, in bytes from the start of the module; None if the data segments wrote them."""


StoreFinder = Callable[[], GuestStore | None]
"""Finds the last store of a guest to some bytes, up to a place in its run, by repeating it. Raises Cancelled.

The answer is None if the bytes were changed from outside.
"""


@dataclass(frozen=True, slots=True)
class HeapWindow:
    """The guest heap of the machine in the address space of this process.

    A linear memory of n bytes occupies the last n bytes of the heap, so that the guard follows it directly. `reserve`
    is the size in bytes of the inaccessible address space after the heap; if it is 0, the engine must check bounds
    itself.
    """

    host_address: int
    size: int
    reserve: int


class GuestEngine(Protocol):
    """The guest engine of one enclave, which runs one guest at a time.

    The places where a guest is preempted depend only on its own instructions and the budgets. The time at which it
    reaches a departure does not depend on earlier preemptions.
    """

    def instantiate(self, payload: int) -> int:
        """Make a fresh guest of an admitted payload, not started yet. An older guest is dropped.

        The heap must be zero. Data segments are written, and `_start` is entered, by the first `resume`.

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
            result: The answer to the host call in which the guest waits, if it does.
            budget_ns: Time from now after which the guest is preempted, at the first place where it can be. Below 1 it
                counts as 1, so that every call makes progress.

        Returns:
            The reason for the departure.

        Raises:
            ValueError: There is no guest, or it is over.
        """

    def catch_up(self) -> None:
        """Bring the guest to where it was in a state that was loaded. It takes as long as that guest had computed.

        `resume` does it, too. Called before, it can be cancelled without any effect.
        """

    def destroy(self) -> None:
        """Drop the guest, suspended or not. Without a guest it does nothing."""

    def save_state(self) -> State:
        """Return the payloads and the progress of the guest. The guest's memory is saved by the machine."""

    def load_state(self, state: State) -> None:
        """Return to a state of this engine. A guest that had started catches up when it is resumed next."""
