"""To ask an enclave where its guest is changes nothing, and every kind of guest has its answer."""

from pathlib import Path

import pytest
from wasmtime import wat2wasm

from enclave_sim import Enclave
from enclave_sim.payload.instructions import bodies, disassembly
from enclave_sim.payload.names import function_names
from enclave_sim.snapshot_file import load, save
from enclave_sim.testing import signed


def _here(enclave: Enclave) -> str | None:
    """Function and instruction."""
    backtrace = enclave.guest_backtrace()
    if backtrace is None:
        return None
    frame = backtrace.frames[0]
    code = {one.offset: one.text for body in bodies(backtrace.module) for one in disassembly(backtrace.module, body)}
    return f"{function_names(backtrace.module)[frame.function]}: {code.get(frame.module_offset, 'entry')}"


def _stepped(payload: str, path: Path, *, asks: bool) -> tuple[list[str], str, list[bytes]]:
    """What was answered, the digest, and snapshots on the way."""
    enclave = Enclave(payload, cycles=2, wake_interval_ns=1_000_000)
    enclave.boot()
    answers: list[str] = []
    snapshots = []
    for count in range(100_000):
        if not enclave.step():
            break
        if asks:
            answer = _here(enclave)
            answers += [answer] if answer is not None and answer not in answers[-1:] else []
        if count % 300 == 0:
            save(enclave, path)
            snapshots.append(path.read_bytes())
    return answers, enclave.run().digest, snapshots
