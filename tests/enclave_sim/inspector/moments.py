"""Moments of a run, without an inspector."""

from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.inspector.model.event_log import EventLog
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.session.sources import EnclaveSource


def moment_of(payload: bytes | str) -> Moment:
    opened = EnclaveSource((payload,), EnclaveOptions.of(cycles=1)).open(Cancellation())
    return Moment(opened, EventLog(opened.run.known, opened.run.cancellation))
