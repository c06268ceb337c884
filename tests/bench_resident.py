"""Speed of the resident VMM on three loops, against the same code in Unicorn without any hook: a part of
`tests/bench.py`.
"""

import statistics
from functools import cache
from time import process_time

from unicorn import UC_ARCH_X86, UC_MODE_64, UC_PROT_EXEC, UC_PROT_READ, UC_PROT_WRITE, Uc, x86_const
from wasmtime import wat2wasm

import firmware
from enclave_sim import Enclave
from enclave_sim.errors import KernelDied
from enclave_sim.memory_map import region
from enclave_sim.payload.keys import development_key
from enclave_sim.payload.signature import sign
from enclave_sim.time_travel import Session
from tests.bench_entries import Entry, entry

_AFTER_RUN = 10
"""Bytes from the entry of ring 3 to the instruction after the call of run()."""
_LOOP = """(module (memory 1) (func $step (param i32) (result i32) (i32.add (local.get 0) (i32.const 3)))
  (func (export "_start") (local $i i32) (local $x i32) (loop $again {body}
    (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {rounds}))))))"""
LOOPS = {
    "integer": ("(local.set $x (i32.xor (i32.mul (local.get $x) (i32.const 31)) (local.get $i)))", 15, 600_000),
    "memory": (
        "(i32.store offset=4 (i32.and (local.get $i) (i32.const 0xfff0)) (i32.load (i32.and (local.get $i) "
        "(i32.const 0xfff0))))",
        17,
        400_000,
    ),
    "calls": ("(local.set $x (call $step (local.get $x)))", 15, 400_000),
}
"""The body of each loop, the instructions of WebAssembly in a round, and the rounds."""


@cache
def _payload(name: str) -> bytes:
    body, _, rounds = LOOPS[name]
    return sign(bytes(wat2wasm(_LOOP.format(body=body, rounds=rounds))), development_key())


def _ours(name: str) -> float:
    """Return the processor time of the loop in an enclave."""
    enclave = Enclave(_payload(name), engine="resident", quantum_ns=0xFFFF_FFF0, attestation="off", record=False)
    enclave.boot()
    start = process_time()
    result = enclave.run()
    elapsed = process_time() - start
    if result.outcome != "COMPLETED":
        raise KernelDied(f"a loop ended with {result.outcome}")
    return elapsed


@cache
def _at_entry(name: str) -> tuple[bytes, int]:
    """Return RAM when ring 3 is entered, and RSP."""
    session = Session(_payload(name), engine="resident", quantum_ns=0xFFFF_FFF0, attestation="off")
    session.run_to(symbol="vmm_entry")
    machine = session.enclave.machine
    return machine.ram.read(0, machine.ram.size), machine.cpu.registers.rsp


def _alone(name: str) -> float:
    """Return the processor time of the same code in Unicorn alone, with the same permissions of pages."""
    ram, stack = _at_entry(name)
    layout, entry_point = firmware.layout(), firmware.built_in().symbols["vmm_entry"]
    uc = Uc(UC_ARCH_X86, UC_MODE_64)
    code, heap = region("vmm_text"), region("heap")
    uc.mem_map(0, code.base, UC_PROT_READ)
    uc.mem_map(code.base, code.size, UC_PROT_READ | UC_PROT_EXEC)
    uc.mem_map(code.end, heap.base - code.end, UC_PROT_READ | UC_PROT_WRITE)
    uc.mem_map(layout["LINEAR_BASE"], heap.size, UC_PROT_READ | UC_PROT_WRITE)
    uc.mem_write(0, ram[: heap.base])
    uc.reg_write(x86_const.UC_X86_REG_RSP, stack)
    start = process_time()
    uc.emu_start(entry_point, entry_point + _AFTER_RUN)
    return process_time() - start


def resident(samples: int) -> list[Entry]:
    """Each loop: millions of instructions of WebAssembly in a second, and the ratio to Unicorn alone."""
    found = []
    for name, (_, instructions, rounds) in LOOPS.items():
        ours, alone = [], []
        for _ in range(samples):
            ours.append(_ours(name))
            alone.append(_alone(name))
        ratio = statistics.median(b / a for a, b in zip(ours, alone, strict=True))
        speed, reference = (instructions * rounds / statistics.median(times) / 1e6 for times in (ours, alone))
        beside = ("Unicorn without hooks, millions of WebAssembly instructions/s", reference)
        what, unit = f"resident VMM: {name}", "of the speed in Unicorn without hooks"
        found.append(entry(what, ratio, unit, ">= 0.8", beside, samples, measured=speed))
    return found
