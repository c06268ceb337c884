"""Devices: decoded registers first, then the rest of each device's state.

Nothing is read through the bus, because reading some registers changes them.
"""

from collections.abc import Iterator
from typing import Any

from enclave_sim.enclave.devices.enclave_block import EnclaveBlock
from enclave_sim.enclave.kernel.program import Program
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.phases import status_rows
from enclave_sim.inspector.model.rows import EMPTY, Meaning, Row, Target, View, note, row, title
from enclave_sim.recording.hex_lines import ascii_of
from machine.devices.apic import registers as apic
from machine.devices.apic.local_apic import LocalApic
from machine.devices.engines.scrub_engine import ScrubEngine
from machine.devices.legacy.uart16550 import Uart16550
from machine.devices.tpm_crb import TpmCrb
from machine.state import State

_LVT = {
    apic.LVT_TIMER: "LVT_TIMER", apic.LVT_THERMAL: "LVT_THERMAL", apic.LVT_PERFORMANCE: "LVT_PERFORMANCE",
    apic.LVT_LINT0: "LVT_LINT0", apic.LVT_LINT1: "LVT_LINT1", apic.LVT_ERROR: "LVT_ERROR",
}  # fmt: skip
_DELIVERY = {0: "fixed", 2: "SMI", 4: "NMI", 5: "INIT", 7: "ExtINT"}
_TIMER_MODES = ("one-shot", "periodic", "TSC deadline", "reserved")
_CRB_STATES = ("idle", "ready", "reception", "completion")
_PCRS_SHOWN = 24
_LINES = 12
_LONGEST = 200


def device_view(moment: Moment) -> View:
    """Return the state of all devices, the most important ones first."""
    rows: list[Row] = []
    devices = moment.machine.bus.devices
    order = sorted(devices, key=lambda d: _ORDER.index(type(d).__name__) if type(d).__name__ in _ORDER else len(_ORDER))
    for device in order:
        state = device.save_state()
        rows += [title(_NAMES.get(type(device).__name__, type(device).__name__))]
        rows += _decoded(device, state, moment)
        rows += [EMPTY]
    return View(tuple(rows), None, "v: next device")


_ORDER = ("EnclaveBlock", "LocalApic", "TpmCrb", "Uart16550", "ScrubEngine", "HashEngine", "AttestationPort", "Mailbox")
_NAMES = {
    "EnclaveBlock": "enclave block, 0xfef00000",
    "LocalApic": "local APIC, 0xfee00000",
    "TpmCrb": "TPM 2.0, command response buffer, 0xfed40000",
    "Uart16550": "UART 16550A, COM1, 0x3f8",
    "ScrubEngine": "scrub engine, 0xfed50000",
    "HashEngine": "hash engine, 0xfed51000",
    "AttestationPort": "attestation port, 0xfef02000",
    "Mailbox": "VMM mailbox, 0xfef01000",
    "PicPair": "8259 pair, 0x20 and 0xa0",
    "Pit8254": "8254 timer, 0x40",
    "IoApic": "I/O APIC, 0xfec00000",
    "FwCfg": "fw_cfg, 0x510",
    "PostCode": "POST code, 0x80",
    "DebugExit": "debug exit, 0xf4",
    "Vga": "VGA, 0x3c0",
}


def _decoded(device: object, state: State, moment: Moment) -> Iterator[Row]:
    if isinstance(device, LocalApic):
        yield from _apic(state, moment.run.now.at_ns)
    elif isinstance(device, Uart16550):
        yield from _uart(state)
    elif isinstance(device, TpmCrb):
        yield from _tpm(state)
    elif isinstance(device, ScrubEngine):
        yield from _scrub(state, moment.program)
    elif isinstance(device, EnclaveBlock):
        yield from status_rows(device.status)
        yield from _plain(state, without=("status",))
    else:
        yield from _plain(state)


def _apic(state: State, now_ns: int) -> Iterator[Row]:
    timer, table, priorities = state["_timer"], state["_table"], state["_priorities"]
    deadline = timer["deadline_ns"]
    left = f"fires at {deadline:,} ns, in {deadline - now_ns:,} ns" if deadline is not None else "is not armed"
    mode = _TIMER_MODES[timer["_mode"]]
    yield row(f"timer {left}; {mode}, initial count {timer['initial_count']:,}, divider {1 << timer['_shift']}")
    for register, name in _LVT.items():
        entry = table["entries"].get(register, 0)
        masked = "masked" if entry & apic.MASKED else "open"
        words = f"vector {entry & apic.VECTOR:#x}, {_DELIVERY.get(entry >> 8 & 7, 'reserved')}, {masked}"
        yield Row(((f"  {name:<16}", Meaning.NAME), (f"{entry:08x}  ", Meaning.PLAIN), (words, Meaning.DIM)))
    for name, key in (("IRR requested", "requested"), ("ISR in service", "in_service")):
        vectors = " ".join(f"{n:#x}" for n in range(256) if priorities.get(key, 0) >> n & 1)
        yield Row(((f"  {name:<16}", Meaning.NAME), (vectors or "none", Meaning.PLAIN)))
    yield from _plain(state, without=("_timer", "_table", "deadline_ns"))


def _uart(state: State) -> Iterator[Row]:
    text = bytes(state["transmitted"]).decode("ascii", "replace").splitlines()
    for line in text[-_LINES:]:
        yield Row((("  | ", Meaning.DIM), (line, Meaning.PLAIN)))
    if not text:
        yield note("nothing was sent yet")
    names = ("ier", "fcr", "lcr", "mcr", "msr", "scr")
    yield row(
        "  " + " ".join(f"{name.upper()}={state[f'_{name}']:02x}" for name in names) + f" divisor {state['_divisor']}"
    )
    yield from _plain(state, without=("transmitted", *(f"_{name}" for name in names)))


def _tpm(state: State) -> Iterator[Row]:
    crb = _CRB_STATES[state["_state"]]
    yield row(f"interface {crb}, locality 0 {'granted' if state['_granted'] else 'not granted'}")
    buffer = bytes(state["_buffer"])
    if any(buffer):
        yield row(f"  buffer {buffer[:24].hex(' ')} {ascii_of(buffer[:24])}")
    tpm = state.get("tpm", {}).get("_state")
    if tpm is None:
        yield note("this TPM does not show its registers")
        return
    yield row(f"started {tpm['started']}, reset count {tpm['reset_count']}, commands {tpm['commands']}")
    for bank, values in tpm["pcrs"]["_values"].items():
        for number, value in enumerate(values[:_PCRS_SHOWN]):
            blank = not any(value) or set(value) == {0xFF}
            yield Row(((f"  PCR{number:<2} ", Meaning.NAME), (value.hex(), Meaning.DIM if blank else Meaning.PLAIN)))
        yield note(f"bank {bank:#x} (0xb is SHA-256)")


def _scrub(state: State, program: Program) -> Iterator[Row]:
    status = state["_status"]
    words = [name for bit, name in ((1, "DONE"), (2, "BAD_RANGE"), (4, "NONZERO")) if status & bit]
    yield row(f"status {' '.join(words) or 'no command yet'}")
    for number, (base, length) in enumerate(state["_channels"]):
        if length:
            text = f"  channel {number}: {base:#x}-{base + length - 1:#x} "
            yield Row(((text, Meaning.PLAIN), (program.place(base), Meaning.NAME)), Target(memory=base, size=length))


def _plain(state: State, without: tuple[str, ...] = (), depth: int = 1) -> Iterator[Row]:
    """Yield the rest of the state, by the names of the device's attributes."""
    for name, value in state.items():
        if name in without or value is None:
            continue
        label = name.lstrip("_")
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            yield row("  " * depth + label, Meaning.NAME)
            yield from _plain(value, (), depth + 1)
        else:
            text = _text(value)
            yield Row((("  " * depth + f"{label} ", Meaning.NAME), (text, Meaning.PLAIN)))


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:#x}" if value > 9 else str(value)
    if isinstance(value, bytes | bytearray):
        return f"{bytes(value[:32]).hex()}{'...' if len(value) > 32 else ''} ({len(value)} bytes)"
    if isinstance(value, dict):
        return _cut(", ".join(f"{_text(key)}: {_text(one)}" for key, one in value.items()) or "none")
    if isinstance(value, str):
        return value
    if hasattr(value, "__iter__"):
        return _cut(" ".join(map(_text, value)) or "none")
    return _cut(str(getattr(value, "name", type(value).__name__)))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
