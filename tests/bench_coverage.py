"""The cost of coverage, against the same run without it: a part of `tests/bench.py`."""

from functools import partial

from enclave_sim import Enclave
from machine.machine import Machine, MachineConfiguration
from tests.bench_entries import Entry, alternate, cpu_seconds, entry

_LOOPS = {
    "two instructions": "ffc8 ebfc",
    "branches": "ffc8 a801 7402 ffc3 a802 7402 ffc1 ebf0",
    "calls": "e802000000 ebf9 c3",
}
_AT, _NS = 0x1000, 20_000_000


def _loop(code: str, *, covered: bool) -> float:
    machine = Machine(MachineConfiguration(ram_size=1 << 20))
    machine.ram.write(_AT, bytes.fromhex(code))
    machine.start(_AT, {"ESP": 0x8000})
    machine.cover(range(_AT, 2 * _AT) if covered else None)
    return cpu_seconds(lambda: machine.run(limit_ns=_NS))


def _life(*, covered: bool) -> float:
    enclave = Enclave("counter", cycles=20, record=False)
    enclave.machine.cover(range(0x10_0000, 0x13_0000) if covered else None)
    return cpu_seconds(enclave.run)


def coverage(samples: int) -> list[Entry]:
    """Loops of ring 0, the worst case, and the life of an enclave."""
    found = []
    for name, code in _LOOPS.items():
        plain, covered = alternate(samples, partial(_loop, code, covered=False), partial(_loop, code, covered=True))
        what = ("without it, s of a processor", plain)
        found.append(entry(f"coverage of a loop: {name}", covered / plain, "ratio", "<= 1.2", what, samples))
    plain, covered = alternate(samples, lambda: _life(covered=False), lambda: _life(covered=True))
    what = ("without it, s of a processor", plain)
    return [*found, entry("coverage of an enclave", covered / plain, "ratio", "<= 1.2", what, samples)]
