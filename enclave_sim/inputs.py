"""Timed outside inputs of an enclave: interrupts, tampering, sensor values, faults, guests.

Inputs are part of a run and of its recording's header. Each takes effect before the first instruction at or after its
time, which may be relative to an event. A WebAssembly guest can be interrupted only at loop headers and calls, so there
it may be slightly later.
"""

from enum import Enum

import msgspec

from enclave_sim.similar import did_you_mean

Value = int | str | bool
LATEST_NS = 1 << 62
"""Upper limit of times, in ns."""
_SENSORS = 2
_REGISTERS = (
    *("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"),
    *("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip", "rflags"),
)
_NOT_CANONICAL = range(1 << 47, (1 << 64) - (1 << 47))
_MASK_64, _MASK_47, _MASK_32, _MASK_16 = (1 << 64) - 1, (1 << 47) - 1, (1 << 32) - 1, (1 << 16) - 1
WRITABLE_FLAGS = 0x24_7FD5
"""Of RFLAGS: ID, AC, NT, IOPL, OF, DF, IF, TF, SF, ZF, AF, PF, CF, which POPF can set in ring 0."""
HARDWARE_FAULTS: dict[str, dict[str, int | range]] = {
    **{name: {"flip": _MASK_64} for name in _REGISTERS if name not in ("rip", "rflags")},
    "rip": {"flip": _MASK_47},
    "rflags": {"flip": WRITABLE_FLAGS},
    "cr0": {"flip": 0x6005_002E},
    "cr2": {"flip": _MASK_64},
    "cr3": {"flip": 0xF_FFFF_F018},
    "cr4": {"flip": 0x31_0F8C},
    "efer": {"flip": 0x801},
    **{f"{name}_base": {"flip": _MASK_47} for name in ("gdtr", "idtr", "tr", "fs", "gs")},
    **{f"{name}_limit": {"flip": _MASK_16} for name in ("gdtr", "idtr", "tr")},
    "tsc": {"flip": _MASK_64},
    **{f"xmm{number}_{half}": {"flip": _MASK_64} for number in range(16) for half in ("low", "high")},
    "mxcsr": {"flip": _MASK_16},
    **{f"scrub{channel}_{register}": {"flip": _MASK_32} for channel in range(16) for register in ("base", "length")},
    **{f"hash_{register}": {"flip": _MASK_32} for register in ("base", "length")},
    "timer": {"stall": range(1, 1 << 40)},
    "instruction": {"skip": range(1, 17), "repeat": range(1, 2)},
    "interrupt": {"raise": range(2, 256), "lose": range(16, 256)},
    "clock": {"advance": range(1, 1 << 40)},
    "tpm": {"delay": range(1, 1 << 40), "error": range(1, 1 << 32), "fail": range(1, 2)},
    **{f"pcr{number}": {"flip": _MASK_64} for number in range(24)},
    "mailbox": {"flip": _MASK_32},
}
"""The effects of each part, with a mask of the bits that may be set in the value, or the range of values.

Bits that a register cannot hold are not in a mask, nor are those that would switch the processor at once (PE, PG,
PAE, LME), which no manual defines.
"""


class AfterEvent(msgspec.Struct, frozen=True):
    """The event of a run to which an input's time is relative."""

    event: str
    """Its kind, by its name in recordings (`phase_completed`)."""
    fields: dict[str, Value] = {}
    """Values that fields of the event must have; other fields may have any value."""
    count: int = 1
    """The number of the event among the matching ones, from 1."""

    def __post_init__(self) -> None:
        plain = {name: value.value if isinstance(value, Enum) else value for name, value in self.fields.items()}
        in_order = dict(sorted(plain.items()))  # so that equal values have equal encodings
        msgspec.structs.force_setattr(self, "fields", in_order)


class Input(msgspec.Struct, frozen=True, tag_field="input", kw_only=True, omit_defaults=True):
    """Base class of all inputs."""

    at_ns: int
    """Virtual time in nanoseconds: since reset, or since the event `after`."""
    after: AfterEvent | None = None
    """The event to wait for, or None. An event within an instruction counts with its own time."""

    @property
    def mistake(self) -> str | None:
        """A description of what is wrong with the input, and what would be right; None if it is valid."""
        return None


class ExternalInterrupt(Input, frozen=True, tag="external_interrupt"):
    """An external interrupt, which wakes a sleeping enclave."""


class Tamper(Input, frozen=True, tag="tamper"):
    """The tamper line is asserted: a non-maskable interrupt, as soon as the kernel can take one."""


class SensorValue(Input, frozen=True, tag="sensor_value"):
    """A sensor reads another value from now on."""

    sensor: int
    """0 or 1."""
    value: int
    """An unsigned number of 32 bits."""

    @property
    def mistake(self) -> str | None:
        """See `Input`."""
        if not 0 <= self.sensor < _SENSORS:
            return f"there is no sensor {self.sensor}; there are 0 to {_SENSORS - 1}"
        return None if 0 <= self.value < 1 << 32 else f"sensor value {self.value} is not a number of 32 bits"


class UplinkReady(Input, frozen=True, tag="uplink_ready"):
    """The uplink becomes ready, or not ready."""

    ready: bool
    """The new state, which the guest sees in its status word (SIGNAL_READY)."""


class MemoryFault(Input, frozen=True, tag="memory_fault"):
    """Bits of one byte of RAM are inverted, as by radiation or by accesses to a neighbouring row."""

    address: int
    """Physical address of the byte."""
    bits: int
    """Mask of the inverted bits, 1 to 255."""

    @property
    def mistake(self) -> str | None:
        """See `Input`."""
        return None if 0 < self.bits < 256 else f"bits is {self.bits}; it must be 1 to 255"


class HardwareFault(Input, frozen=True, tag="hardware_fault"):
    """A part of the machine other than RAM fails for a moment, as by radiation, a glitch or a defect."""

    part: str
    """The part, such as a register (`rax`, `cr0`, `idtr_base`) or `instruction`; `HARDWARE_FAULTS` has all."""
    effect: str
    """The effect, such as `flip`, `skip` or `lose`."""
    value: int
    """The bits to invert, the number of instructions to skip, the vector, the response code, or the nanoseconds."""

    @property
    def mistake(self) -> str | None:
        """See `Input`."""
        effects = HARDWARE_FAULTS.get(self.part)
        if effects is None:
            return f"there is no part {self.part[:20]!r}; {did_you_mean(self.part[:20], HARDWARE_FAULTS)}" + (
                f"there are {', '.join(HARDWARE_FAULTS)}"
            )
        allowed = effects.get(self.effect)
        if allowed is None:
            return f"the effect of {self.part} is {self.effect[:20]!r}; it must be {' or '.join(effects)}"
        if isinstance(allowed, range):
            bad = self.value not in allowed
            right = f"{allowed.start} to {allowed.stop - 1}"
        else:
            bad = self.value <= 0 or bool(self.value & ~allowed)
            right = f"a mask within {allowed:#x}, not 0"
        return f"value {self.value} is not possible for {self.part}; it must be {right}" if bad else None


class GuestReplaced(Input, frozen=True, tag="guest_replaced"):
    """Another, unsigned guest replaces an admitted payload, for tests of running guests rather than of admission.

    A guest can be replaced in EXEC_LOOP, before it has started.
    """

    payload: int
    """Index of the payload, from 0."""
    code: bytes
    """The module, or the flat binary."""

    @property
    def mistake(self) -> str | None:
        """See `Input`."""
        return None if self.payload >= 0 else f"there is no payload {self.payload}; they count from 0"


class MemoryWrite(Input, frozen=True, tag="memory_write"):
    """Bytes of RAM are written, as by a debugger."""

    address: int
    """Physical address of the first byte."""
    data: str
    """The new values, in hexadecimal."""

    @property
    def mistake(self) -> str | None:
        """See `Input`."""
        try:
            length = len(bytes.fromhex(self.data))
        except ValueError:
            return f"data is {self.data[:20]!r}; it must be bytes in hexadecimal, such as 0100ff"
        return None if length else "data is empty; it must be at least one byte"


class RegisterWrite(Input, frozen=True, tag="register_write"):
    """A register of the processor is written, as by a debugger."""

    register: str
    """`rax` to `r15`, `rip` or `rflags`."""
    value: int
    """An unsigned number of 64 bits. Of RFLAGS, only the flags that POPF can set in ring 0 are written."""

    @property
    def mistake(self) -> str | None:
        """See `Input`."""
        if self.register not in _REGISTERS:
            return f"register {self.register[:20]!r} cannot be written; {', '.join(_REGISTERS)} can"
        if not 0 <= self.value < 1 << 64:
            return f"value {self.value} is not a number of 64 bits"
        if self.register == "rip" and self.value in _NOT_CANONICAL:
            return f"rip {self.value:#x} is not canonical: its upper 17 bits must be equal"
        return None


AnyInput = (
    ExternalInterrupt
    | Tamper
    | SensorValue
    | UplinkReady
    | MemoryFault
    | HardwareFault
    | GuestReplaced
    | MemoryWrite
    | RegisterWrite
)
WRITES = frozenset(["memory_fault", "hardware_fault", "memory_write", "register_write"])
"""Kinds of inputs that change the machine itself, after which the kernel may do anything."""


def kind_of(one: AnyInput | type[AnyInput]) -> str:
    """Return the name of an input's kind, as in recordings: `external_interrupt`, `tamper`, ..."""
    return str(one.__struct_config__.tag)
