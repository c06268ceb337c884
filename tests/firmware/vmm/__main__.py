"""Compares the VMM with wasmtime: `python -m tests.firmware.vmm [MODULES] [FIRST]`, 20,000 modules by default.

Half of the modules are those of wasm-smith, the others guests of our own strategies. For each of them a defective
module and a damaged one are compared as well. Modules that differ are written to `.vmm/`, and the exit code is 1.
"""

import json
import sys
import time
from pathlib import Path

from tests.firmware.vmm.comparing import Tally, damaged, defective, guest
from tests.firmware.vmm.harness import Harness, program
from tests.firmware.vmm.smith import smith_module

FINDINGS = Path(".vmm")
_PROGRESS = 1000


def main(count: int = 20_000, first: int = 0) -> int:
    """Compare `count` modules and their variants, from seed `first` on."""
    harness, found, begun = Harness(program()), Tally(), time.monotonic()
    for seed in range(first, first + count):
        module = smith_module(seed) if seed % 2 else guest(seed).module
        for one in (module, defective(seed), damaged(module, seed)):
            found.add(harness, one)
        if (seed + 1) % _PROGRESS == 0:
            print(f"{seed + 1 - first} seeds, {len(found.differences)} differences", flush=True)
    harness.close()
    print(json.dumps(dict(sorted(found.counts.items())), indent=1))
    print(f"{len(found.differences)} differences, {time.monotonic() - begun:.0f} s")
    for number, (text, module) in enumerate(found.differences):
        FINDINGS.mkdir(exist_ok=True)
        (FINDINGS / f"{number:04}.wasm").write_bytes(module)
        print(f"{FINDINGS}/{number:04}.wasm: {text}")
    return bool(found.differences)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
