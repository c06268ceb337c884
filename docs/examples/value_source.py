"""Follow a signal back to the constant in the payload that it was made from."""

from enclave_sim.time_travel import Session

session = Session("shredder")
session.run_to(event="signal_emitted")
value = session.where_from("esi")
for ending in value.endings:
    print(ending)
