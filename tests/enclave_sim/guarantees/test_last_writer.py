"""The last writer of bytes, in the evidence of a guarantee."""

import firmware
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.guarantees.last_writer import describe_last_writer
from enclave_sim.guarantees.observation import Scenario
from enclave_sim.memory_map import region
from enclave_sim.time_travel import Session
from machine.errors import MachineError
from machine.state import State
from machine.tpm.model import TpmModel

BEACON = Scenario("beacon")


class Elsewhere(TpmModel):
    """A TPM whose state is in another process."""

    def save_state(self) -> State:
        raise MachineError("the state is elsewhere")


def test_it_is_whom_a_session_names() -> None:
    session, status = Session("beacon"), firmware.built_in().symbols["status"]
    session.resume()
    assert describe_last_writer(BEACON, status, 4) == str(session.last_write(status, 4))


def test_what_comes_after_the_limit_does_not_count() -> None:
    status = firmware.built_in().symbols["status"]
    early = describe_last_writer(Scenario("beacon", limit_ns=1_000_000), status, 4)
    assert early.startswith("last written at ")
    assert early != describe_last_writer(BEACON, status, 4)


def test_what_is_as_the_loader_left_it() -> None:
    assert describe_last_writer(BEACON, region("text").base, 16) == "not written during the run: the loader left it so"


def test_a_run_that_cannot_go_back_is_not_an_error() -> None:
    scenario = Scenario("beacon", EnclaveOptions(tpm=Elsewhere(bytes(32))))
    assert describe_last_writer(scenario, 0x30_0000, 1) == "who wrote it last cannot be found: the state is elsewhere"
