"""gef itself, where GEF in the environment is the path of its script: no package index has it."""

import os
import subprocess
from pathlib import Path

import pytest

from enclave_sim.memory_map import region
from tests.enclave_sim.gdb.rig import ROOT, needs_gdb

GEF = os.environ.get("GEF", "")
COMMANDS = """\
set pagination off
set confirm off
source {gef}
gef config gef.disable_color True
gef config context.enable False
file {kernel}
target remote | enclave-sim gdb counter --stdio
break host_call
continue
registers
vmmap
telescope $rsp
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.gdb,
    needs_gdb,
    pytest.mark.skipif(not GEF, reason="GEF does not name a gef.py"),
]


def test_gef_shows_registers_the_memory_map_and_the_stack(tmp_path: Path) -> None:
    script = tmp_path / "commands.gdb"
    script.write_text(COMMANDS.format(gef=GEF, kernel=ROOT / "firmware/aether.elf"))
    command = ["gdb", "-nx", "-batch", "-x", str(script)]
    bin_directory = str(ROOT / ".venv/bin")
    environment = {**os.environ, "GDB_UNDER_RR": "1", "PATH": f"{bin_directory}:{os.environ['PATH']}"}
    printed = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
    heap, stack = region("heap"), region("kernel_stack")
    assert "$rip" in printed
    assert "$cs: 0x08" in printed
    for one in (heap, stack):
        assert f"{one.base:#018x} {one.end:#018x}" in printed
    assert "+0x0000" in printed
