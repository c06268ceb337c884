"""Find where two runs part, and how much later one of them is."""

from pathlib import Path
from tempfile import TemporaryDirectory

from enclave_sim import Enclave
from enclave_sim.recording.comparison.comparison import compare

with TemporaryDirectory() as folder:
    early, late = Path(folder, "early.jsonl"), Path(folder, "late.jsonl")
    for path, wake_ns in ((early, 1_000_000), (late, 1_500_000)):
        enclave = Enclave("counter", cycles=2, wake_ns=wake_ns)
        enclave.run()
        enclave.recording.save(path)
    found = compare(early, late)
print(*(f"{one.name}: {one.first} and {one.second}" for one in found.header))
print(f"{found.aligned} of {found.events[0]} events are the same; the last is {found.shift_ns.last:,} ns later")
