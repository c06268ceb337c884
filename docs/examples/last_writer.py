"""Find who wrote a byte, and go there: backwards."""

from enclave_sim.memory_map import region
from enclave_sim.time_travel import Session

session = Session("counter")
session.run_to(event="signal_emitted")
write = session.last_write(region("arena").base, 1)
print("written by", write.by)
session.go_to(write.position)
print("at", session.line, "in phase", session.enclave.phase.name)
