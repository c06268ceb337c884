"""The kernel with a flat payload on a PC without the enclave's devices: no scrub engine, no block, no VMM."""

import hashlib
from collections.abc import Sequence

import firmware
from machine.boot import loader
from machine.events import Recorder
from machine.machine import Machine, MachineConfiguration

RAM_SIZE = 16 << 20


def command_line(payload: bytes, *words: str) -> str:
    """The options that make the kernel run this flat payload."""
    return " ".join((*words, "guest=native", f"sha256={hashlib.sha256(payload).hexdigest()}"))


def pc(ram_size: int = RAM_SIZE, ns_per_instruction: int = 1, recorder: Recorder | None = None) -> Machine:
    """A plain PC."""
    configuration = MachineConfiguration(ram_size, ns_per_instruction, engines=False)
    return Machine(configuration, recorder)


def load(machine: Machine, command: str, payloads: Sequence[bytes]) -> loader.Loaded:
    """The committed kernel with its payloads."""
    modules = [loader.Module(payload, f"payload{i}") for i, payload in enumerate(payloads)]
    return loader.load(machine, firmware.built_in().image, command, modules)


def lines(machine: Machine) -> list[str]:
    """Serial output."""
    return machine.uart.transmitted.decode("latin-1").splitlines()
