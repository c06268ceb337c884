"""Time travel: a run that can be gone through in both directions.

from enclave_sim.time_travel import Session

session = Session("counter", cycles=3)
session.run_to(event="host_called")
session.step()
session.back()
"""

from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.session import Session

__all__ = ["Position", "Session"]
