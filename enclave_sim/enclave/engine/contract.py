"""What the enclave asks of a guest engine: the coprocessor that executes the guest at CPL 3.

An engine runs the guest until it needs the machine and says why it left. Nothing outside an engine may ask
which one runs. Times are virtual nanoseconds, spent since the previous departure.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import msgspec

from machine.state import State


class TrapKind(Enum):
    """What a WebAssembly trap is on real hardware (WebAssembly core specification, 4.4)."""

    MEMORY_OUT_OF_BOUNDS = "memory out of bounds"
    STACK_OVERFLOW = "stack overflow"
    ILLEGAL = "illegal operation"
    DIVIDE = "divide error"


class HostCall(msgspec.Struct, frozen=True, gc=False):
    """The guest called a function of the `aether` namespace; `resume` answers it."""

    number: int
    argument: int
    elapsed_ns: int


class Trapped(msgspec.Struct, frozen=True, gc=False):
    """The guest trapped and is over. `detail` is WebAssembly's own name of the trap."""

    kind: TrapKind
    detail: str
    elapsed_ns: int


class Returned(msgspec.Struct, frozen=True, gc=False):
    """`_start` returned and the guest is over."""

    elapsed_ns: int


class Preempted(msgspec.Struct, frozen=True, gc=False):
    """The budget is used up. `elapsed_ns` may exceed it: engines yield at few places, such as loop headers."""

    elapsed_ns: int


Departure = HostCall | Trapped | Returned | Preempted


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One function call of a guest, and where in it the guest is."""

    function: int
    """Function index."""
    offset: int | None
    """Of the instruction, in bytes from the start of the module. At the function's entry it lies in front of the first
    instruction, or is None."""


class Backtrace(msgspec.Struct, frozen=True):
    """Where in its module a guest is."""

    module: bytes
    """The module that offsets are of: what was compiled, without signatures around it."""
    frames: tuple[Frame, ...]
    """The calls under way, the innermost first. An engine may tell only so many of them: `FRAMES_TOLD`."""


FRAMES_TOLD = 20
"""Where there are so many frames, more may lie further out."""


@dataclass(frozen=True, slots=True)
class HeapWindow:
    """Where the guest heap of the machine lies in this process.

    A linear memory of n bytes occupies the last n bytes of the heap, so that what follows it is the guard.
    `reserve` is the number of bytes of inaccessible address space that follow the heap in this process; where
    it is 0 the engine must check bounds itself.
    """

    host_address: int
    size: int
    reserve: int


class GuestEngine(Protocol):
    """One engine serves one enclave; guests come and go on it, one at a time.

    Where a guest is preempted depends on its own instructions and the budgets alone, and the time at which it
    reaches any of its departures does not depend on how often it was preempted before.
    """

    def instantiate(self, payload: int) -> int:
        """Make a fresh, not yet started guest of admitted payload number `payload`; an older guest is dropped.

        The heap must be zero. Returns the size of its linear memory in bytes. Data segments are written and
        `_start` is entered by the first `resume`. Raises ValueError for a payload that was not admitted.
        """

    def resume(self, result: int, budget_ns: int) -> Departure:
        """Run the guest until it departs, answering the host call it waits in with `result`.

        It is preempted where it first can be at or after `budget_ns`, counted from here. A budget below 1 counts
        as 1, so that every call gets the guest further. Raises ValueError where there is no guest, or it is over.
        """

    def catch_up(self) -> None:
        """Have the guest where a state that was loaded had it. It takes as long as that guest had computed.

        `resume` does it, too; asked for before, it can be cancelled without anything having happened.
        """

    def destroy(self) -> None:
        """Drop the guest, suspended or not. Harmless when there is none."""

    def save_state(self) -> State:
        """Its payloads, and how far its guest is. The guest's memory is the machine's."""

    def load_state(self, state: State) -> None:
        """Return to a state of this engine. A guest that had started catches up when it is resumed next."""
