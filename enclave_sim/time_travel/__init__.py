"""Time travel: a run that can be executed in both directions.

from enclave_sim.time_travel import Session

session = Session("counter", cycles=3)
session.run_to(event="host_called")
session.step()
session.back()
"""

from enclave_sim.time_travel.link import Link, follow_link, link_to_here
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.session import Session
from enclave_sim.time_travel.travel import Travel

__all__ = ["Link", "Position", "Session", "Travel", "follow_link", "link_to_here"]
