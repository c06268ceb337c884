"""A guest's fault is a trap, whatever has been done to signals in this process before."""

import subprocess
import sys

import pytest

ENGINE, ENABLE, DISABLE = "wasmtime.Engine()", "faulthandler.enable()", "faulthandler.disable()"
RUN = 'print(Enclave("trespasser").run().outcome)'
RUN_THE_FIRST = "print(first.run().outcome)"
ORDERS = {
    "nothing": (RUN,),
    "wasmtime": (ENGINE, RUN),
    "faulthandler": (ENABLE, RUN),
    "wasmtime, faulthandler": (ENGINE, ENABLE, RUN),
    "faulthandler, wasmtime": (ENABLE, ENGINE, RUN),
    "faulthandler after a run": (RUN, ENABLE, RUN),
    "faulthandler anew after a run": (RUN, DISABLE, ENABLE, RUN),
    "faulthandler off after a run": (RUN, DISABLE, RUN),
    "faulthandler anew while an enclave waits": ('first = Enclave("trespasser")', DISABLE, ENABLE, RUN_THE_FIRST),
}


@pytest.mark.parametrize("order", ORDERS)
def test_a_trap_is_a_fault_of_the_guest(order: str) -> None:
    lines = ("import faulthandler", "import wasmtime", "from enclave_sim import Enclave", *ORDERS[order])
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    told = done.stdout.split()
    assert (done.returncode, done.stderr) == (0, "")
    assert told == ["GUEST_FAULT"] * sum(line in (RUN, RUN_THE_FIRST) for line in lines)
