"""What reaches an enclave from outside, and when: interrupts, tampering, sensor values, faults of memory, other guests.

Inputs are part of a run: its recording's header holds them. Each takes effect in front of the first instruction at
or after its time, which may be counted from an event. A WebAssembly guest is interrupted at loop headers and calls
only, so it may be a little later.
"""

from enum import Enum

import msgspec

Value = int | str | bool
LATEST_NS = 1 << 62
"""Times are below this."""
_SENSORS = 2


class AfterEvent(msgspec.Struct, frozen=True):
    """The `count`-th event of a run, from 1, that is of the kind `event` and whose `fields` have these values.

    The kind is named as in recordings (`phase_completed`). Fields that are not given may have any value.
    """

    event: str
    fields: dict[str, Value] = {}
    count: int = 1

    def __post_init__(self) -> None:
        plain = {name: value.value if isinstance(value, Enum) else value for name, value in self.fields.items()}
        in_order = dict(sorted(plain.items()))  # equal ones are encoded equally
        msgspec.structs.force_setattr(self, "fields", in_order)


class Input(msgspec.Struct, frozen=True, tag_field="input", kw_only=True, omit_defaults=True):
    """What all inputs share."""

    at_ns: int
    """Virtual time in nanoseconds: since reset, or since the event `after`."""
    after: AfterEvent | None = None
    """The event that it waits for; the time of an event within an instruction is the event's own."""

    @property
    def mistake(self) -> str | None:
        """What is wrong with it and what would be right, or None."""
        return None


class ExternalInterrupt(Input, frozen=True, tag="external_interrupt"):
    """The external interrupt line: it wakes a sleeping enclave."""


class Tamper(Input, frozen=True, tag="tamper"):
    """The tamper line is pulled: a non-maskable interrupt, as soon as the kernel can take one."""


class SensorValue(Input, frozen=True, tag="sensor_value"):
    """A sensor reads another value from now on."""

    sensor: int
    value: int

    @property
    def mistake(self) -> str | None:
        """See `Input`."""
        if not 0 <= self.sensor < _SENSORS:
            return f"there is no sensor {self.sensor}; there are 0 to {_SENSORS - 1}"
        return None if 0 <= self.value < 1 << 32 else f"sensor value {self.value} is not a number of 32 bits"


class UplinkReady(Input, frozen=True, tag="uplink_ready"):
    """Whether the uplink is ready, which the guest finds in its status word (SIGNAL_READY)."""

    ready: bool


class MemoryFault(Input, frozen=True, tag="memory_fault"):
    """Bits of one byte of RAM change their value, as radiation or a neighbouring row may do it."""

    address: int
    """Physical."""
    bits: int
    """The ones that are inverted."""

    @property
    def mistake(self) -> str | None:
        """See `Input`."""
        return None if 0 < self.bits < 256 else f"bits is {self.bits}; it must be 1 to 255"


class GuestReplaced(Input, frozen=True, tag="guest_replaced"):
    """Another guest stands where an admitted payload did, unsigned: for tests of what runs, not of what is let in.

    It can be replaced while it has not started, so at the end of EXEC_LOOP's preparations.
    """

    payload: int
    code: bytes
    """The module, or the flat binary."""

    @property
    def mistake(self) -> str | None:
        """See `Input`."""
        return None if self.payload >= 0 else f"there is no payload {self.payload}; they count from 0"


AnyInput = ExternalInterrupt | Tamper | SensorValue | UplinkReady | MemoryFault | GuestReplaced


def kind_of(one: AnyInput | type[AnyInput]) -> str:
    """The name of its kind, as recordings have it: `external_interrupt`, `tamper`, ..."""
    return str(one.__struct_config__.tag)
