"""A guest's fault is a trap, whatever signal handlers this process had set before."""

import json
import subprocess
import sys
from pathlib import Path

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


FORKING = """
import faulthandler, json, os, sys, wasmtime
from enclave_sim import Enclave
for order, lines in json.loads(sys.argv[1]).items():
    child = os.fork()
    if not child:
        print(order)
        exec("\\n".join(lines))
        sys.stdout.flush()
        os._exit(0)
    print("status", os.waitpid(child, 0)[1], flush=True)
"""
"""Imports once, and forks for each order: importing installs no signal handlers."""


@pytest.fixture(scope="module")
def outputs() -> dict[str, list[str]]:
    """The lines of each order's process, the last of which is its status."""
    command = [sys.executable, "-c", FORKING, json.dumps(ORDERS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        found.setdefault(line, []) if line in ORDERS else found[next(reversed(found))].append(line)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("order", ORDERS)
def test_a_trap_is_a_fault_of_the_guest(outputs: dict[str, list[str]], order: str) -> None:
    runs = sum(line in (RUN, RUN_THE_FIRST) for line in ORDERS[order])
    assert outputs[order] == [*["GUEST_FAULT"] * runs, "status 0"]


BETWEEN = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("conftest", sys.argv[1])
module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
bench = module.Bench()
bench.start('(func (export "_start") (call $shred) (drop (i32.div_u (i32.const 1) (i32.const 0))))')
bench.engine.resume(0, 1000)
import machine.instructions.floating_point.elementary
print(bench.engine.resume(0, 1000).detail)
"""


def test_a_division_by_zero_is_a_trap_when_a_machine_has_loaded_mpfr_meanwhile() -> None:
    command = [sys.executable, "-c", BETWEEN, str(Path(__file__).with_name("conftest.py"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "integer divide by zero\n"), done.stderr
