"""Count the bytes that the kernel erases, by the reason."""

from collections import Counter

from enclave_sim import Enclave
from enclave_sim.events import Scrubbed

enclave = Enclave("counter", cycles=3)
enclave.run()
erased = Counter()
for event in enclave.recording.of_kind(Scrubbed):
    erased[event.cause] += event.size
for cause, size in erased.most_common():
    print(f"{cause:13} {size:>12,} bytes")
