"""Speed of loops in ring 3 with an exact clock, against Unicorn without any hook: a part of `tests/bench.py`."""

import statistics
from time import process_time

from unicorn import UC_ARCH_X86, UC_MODE_64, UC_PROT_EXEC, UC_PROT_READ, UC_PROT_WRITE, Uc, x86_const

from enclave_sim.errors import KernelDied
from tests.bench_entries import Entry, alternate, entry
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import End, Program

_RCX, _RDX, _RSP, _RSI = 1, 2, 4, 6
_STRING, _ROOM = layout.DATA + 0x800, 0x1_0000
_UNLIMITED = 1 << 60


def _loop(body: str) -> bytes:
    """Repeat instructions RCX times."""
    code = bytes.fromhex(body) + b"\x48\xff\xc9"
    return code + b"\x75" + (-len(code) - 2 & 0xFF).to_bytes(1, "little")


LOOPS: dict[str, tuple[bytes, int]] = {
    "two instructions": (_loop(""), 6_000_000),
    "long blocks": (_loop("4801d8" * 40), 3_000_000),
    "loads": (_loop("488b06 488b5e08 480fb65610 48035e18"), 2_000_000),
    "stores": (_loop("488906 48895e08 885610 48895e18"), 600_000),
    "calls": (bytes.fromhex("e807000000 48ffc9 75f6 eb06 53 4801d8 5b c3"), 600_000),
    "indirect jumps": (_loop("488d0503000000 ffe0 90"), 2_000_000),
    "repeated string": (_loop("4889d7 4989c8 b900010000 f3aa 4c89c1"), 6_000),
    "SSE": (_loop("0f58c1 0f59c2 0f28d8 660fefc9"), 600_000),
}
"""The code of each loop and its rounds."""


def _program(code: bytes, rounds: int) -> Program:
    registers = list(Program(b"").registers)
    for number, value in ((_RCX, rounds), (_RDX, _STRING), (_RSI, layout.DATA)):
        registers[number] = value
    return Program(code, registers=tuple(registers), limit=_UNLIMITED)


def _ours(bench: Bench, code: bytes, rounds: int) -> float:
    start = process_time()
    result = bench.run(_program(code, rounds), floating_point=False)
    elapsed = process_time() - start
    if result.end is not End.DONE:
        raise KernelDied(f"a loop ended with {result.end.value}")
    return result.retired / elapsed / 1e6


def _alone(code: bytes, rounds: int) -> float:
    """Return the processor time of the loop in Unicorn alone, with the same permissions of pages."""
    uc = Uc(UC_ARCH_X86, UC_MODE_64)
    uc.mem_map(layout.CODE, _ROOM, UC_PROT_READ | UC_PROT_EXEC)
    for base in (layout.DATA, layout.STACK):
        uc.mem_map(base, _ROOM, UC_PROT_READ | UC_PROT_WRITE)
    uc.mem_write(layout.CODE, code + b"\xf4")
    for register, value in (("RCX", rounds), ("RDX", _STRING), ("RSI", layout.DATA), ("RSP", layout.STACK_POINTER)):
        uc.reg_write(getattr(x86_const, f"UC_X86_REG_{register}"), value)
    start = process_time()
    uc.emu_start(layout.CODE, 0)
    return process_time() - start


def ring_3_loops(samples: int) -> Entry:
    """The mean of the ratios of eight loops; the slowest one is in the entry, too."""
    bench = Bench()
    found: dict[str, tuple[float, float]] = {}
    for name, (code, rounds) in LOOPS.items():
        each = bench.run(_program(code, 1), floating_point=False).retired - 1

        def ours(code: bytes = code, rounds: int = rounds) -> float:
            return _ours(bench, code, rounds)

        def alone(code: bytes = code, rounds: int = rounds, each: int = each) -> float:
            return each * rounds / _alone(code, rounds) / 1e6

        first, second = alternate(samples, ours, alone)
        found[name] = first, second
    ratios = {name: first / second for name, (first, second) in found.items()}
    mean = statistics.fmean(ratios.values())
    slowest = min(ratios, key=lambda name: ratios[name])
    reference = statistics.fmean(second for _, second in found.values())
    return entry(
        "ring-3 loops, exact clock",
        mean,
        "of Unicorn without hooks, mean of eight loops",
        ">= 0.45",
        ("the same loops in Unicorn alone, M instructions/s", reference),
        samples,
        slowest={"loop": slowest, "ratio": round(ratios[slowest], 3), "target": ">= 0.25"},
        loops={name: round(ratio, 3) for name, ratio in ratios.items()},
    )
