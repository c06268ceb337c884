"""Snapshot files at random instants: `python -m tests.enclave_sim.time_travel.instants [N] [--seed S] [--python PATH]`.

Enclaves of every engine are saved at N instants in all; other processes, perhaps of another Python, continue them to
the end. Each must end with the digest of the undisturbed run. Exits with 1 if one did not.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from enclave_sim import Enclave
from enclave_sim.inputs import AfterEvent, ExternalInterrupt, SensorValue, Tamper
from enclave_sim.time_travel.snapshot_file import save

SCENARIOS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("counter", {"cycles": 3}),
    ("counter", {"cycles": 2, "engine": "resident"}),
    ("runner", {"cycles": 2, "engine": "native", "quantum_ns": 10_000}),
    ("digest", {"quantum_ns": 50_000}),
    ("spinner", {"inputs": [Tamper(at_ns=3_000_000)]}),
    ("counter", {"cycles": 3, "inputs": [Tamper(at_ns=50_000, after=AfterEvent("cycle_began", {"cycle": 1}))]}),
    ("shredder", {"inputs": [ExternalInterrupt(at_ns=100_000), SensorValue(at_ns=300_000, sensor=0, value=1)]}),
    ("counter", {"cycles": 2, "trace_memory": "kernel_stack"}),
    ("trespasser", {"trace_memory": "heap"}),
)
AT_ONCE = 25
CONTINUE = """
import sys
from pathlib import Path
from enclave_sim.time_travel.snapshot_file import load
for path in sys.argv[1:]:
    print(load(Path(path)).run().digest)
"""


def digests(paths: Sequence[Path], python: str = sys.executable) -> list[str]:
    """Continue snapshots in another process, and return the digests of their runs."""
    command = [python, "-c", CONTINUE, *map(str, paths)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def wrong(payload: str, options: dict[str, Any], count: int, random: Random, python: str) -> Iterator[str]:
    """Save one run at random instants. Yield the instants from which it continues differently."""
    whole = Enclave(payload, **options).run()
    instants = sorted(random.randint(0, whole.virtual_ns) for _ in range(count))
    enclave = Enclave(payload, **options)
    with tempfile.TemporaryDirectory() as directory:
        for first in range(0, count, AT_ONCE):
            batch = instants[first : first + AT_ONCE]
            paths = [Path(directory) / f"{number}.snap" for number in range(len(batch))]
            for at_ns, path in zip(batch, paths, strict=True):
                enclave.advance(at_ns)
                save(enclave, path)
            for at_ns, digest in zip(batch, digests(paths, python), strict=True):
                if digest != whole.digest:
                    yield f"{payload} {options} at {at_ns} ns"


def main() -> int:
    """Run the campaign. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.enclave_sim.time_travel.instants", description=__doc__)
    parser.add_argument("instants", type=int, nargs="?", default=10_000, help="how many instants (default 10000)")
    parser.add_argument("--seed", type=int, default=0, help="which instants (default 0)")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that continues the runs")
    arguments = parser.parse_args()
    random, found, done = Random(arguments.seed), 0, 0
    for payload, options in SCENARIOS:
        count = arguments.instants // len(SCENARIOS)
        for one in wrong(payload, options, count, random, arguments.python):
            found += 1
            print(f"another digest: {one}")
        done += count
        print(f"{done} instants, {found} wrong", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
