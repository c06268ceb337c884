"""The real gdb moves through the run: symbols, phases, ring 3, variables, watchpoints, and backwards."""

import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from enclave_sim import Enclave
from enclave_sim.gdb.script import script
from machine.events import RingTransition
from tests.enclave_sim.gdb.rig import ROOT, computed_s, needs_gdb, run_gdb, wait_until
from tests.enclave_sim.gdb.serving import listening
from tests.renewing import RENEW

pytestmark = [pytest.mark.slow, pytest.mark.gdb, needs_gdb]
START = """\
set confirm off
file firmware/aether.elf
directory firmware/src
target remote | enclave-sim gdb counter --cycles 2 --stdio
"""
PAGE = (ROOT / "docs/gdb.md").read_text()


def first_stay_in_ring_3() -> int:
    """The virtual time at which the guest of these runs is entered for the first time, in ns."""
    enclave = Enclave("counter", cycles=2)
    enclave.run()
    assert enclave.recording is not None
    entered = (one for one in enclave.recording.events if isinstance(one, RingTransition) and one.to_ring == 3)
    return next(entered).at_ns


def assert_in_order(output: str, *lines: str) -> None:
    """Assert that lines with these texts follow one another."""
    rest = iter(output.splitlines())
    missing = [text for text in lines if not any(text in line for line in rest)]
    assert missing == [], output


def test_the_page_shows_what_gdb_prints(tmp_path: Path) -> None:
    script, printed = re.findall(r"```gdb\n(.*?)```.*?```text\n(.*?)```", PAGE, re.S)[0]
    found = run_gdb(script, tmp_path)
    if RENEW:
        (ROOT / "docs/gdb.md").write_text(PAGE.replace(printed, found))
    else:
        assert found == printed


def test_with_the_script_of_the_server_gdb_looks_again_after_each_monitor_command(tmp_path: Path) -> None:
    directory = tmp_path / "with a space, 'and quotes'"
    directory.mkdir()
    prepare = "shell enclave-sim gdb counter --script > enclave.gdb\nsource enclave.gdb\nshell rm enclave.gdb\n"
    target = "target remote | enclave-sim gdb counter --cycles 2 --stdio\n"
    ring_3 = first_stay_in_ring_3()
    moves = f"monitor go {ring_3}\nprint $cpl\nprint $now_ns\nframe\nmonitor reset\nprint $now_ns\nframe\n"
    output = run_gdb(f"cd {directory}\n{prepare}{target}{moves}", tmp_path)
    assert_in_order(
        output, "$1 = 3", f"$2 = {ring_3}", "#0  gate () at gate.S", "gate:   ud2", "$3 = 0", "_start () at"
    )
    assert "flushed" not in output


@pytest.mark.parametrize("page", ["README.md", "docs/gdb.md"])
def test_the_first_commands_of_a_page_load_the_script(page: str) -> None:
    """Without it gdb shows old registers after `monitor reset`."""
    text = (Path(__file__).parents[3] / page).read_text("utf-8")
    first = next(line for line in text.splitlines() if line.startswith("gdb ") and "target remote" in line)
    assert first.startswith("gdb -x enclave.gdb ")
    written, read = (text.index(each) for each in ("--script > enclave.gdb", first))
    assert written < read


def test_the_script_for_a_kernel_names_its_image_whatever_the_path(tmp_path: Path) -> None:
    image = tmp_path / "my \"kernel\"\\ 'of' $1.elf"
    shutil.copy(ROOT / "firmware/aether.elf", image)
    output = run_gdb(script(image) + "info symbol kernel_main\n", tmp_path)
    assert output == "kernel_main in section .text\n"


def test_run_starts_again_in_extended_mode_and_so_does_what_follows_kill(tmp_path: Path) -> None:
    start = START.replace("target remote", "target extended-remote")
    again = "print $now_ns\nstepi\nrun\nprint $now_ns\nkill\nrun\nprint $now_ns\nreverse-continue\nprint $now_ns\n"
    output = run_gdb(f"{start}break exec_loop\ncontinue\n{again}", tmp_path)
    times = re.findall(r"^\$\d = (\d+)", output, re.M)
    assert len(set(times[:3])) == 1
    assert times[3] == "0"
    assert output.count("Breakpoint 1, exec_loop ()") == 3


def test_every_phase_is_a_place_to_stop_with_its_variables_and_callers(tmp_path: Path) -> None:
    script = "".join(f"break {name}\n" for name in ("prot_entry", "mem_map", "wasm_init", "exec_loop"))
    script += "continue\nprint/x status\nbacktrace 2\n" * 4
    output = run_gdb(START + script, tmp_path)
    callers = ["prot_entry ()", "kernel_main ()", "mem_map ()", "kernel_main ()", "wasm_init ()", "exec_loop ()"]
    assert_in_order(output, *callers)
    assert re.findall(r"^\$\d = (\w+)", output, re.M) == ["0x0", "0x1", "0x3", "0x7"]


INTERRUPT = "<signal handler called>"
"""gdb's words for code entered by an interrupt."""


def callers(output: str) -> list[list[str]]:
    """The functions of each backtrace in the output, innermost first."""
    frames = re.findall(r"^#(\d+) +(?:0x\w+ in )?(\w+ (?=\()|<.*>)", output, re.M)
    found: list[list[str]] = []
    for number, name in frames:
        found += [[]] if number == "0" else []
        found[-1].append(name.strip())
    return found


def test_backtraces_lead_through_every_ring_and_end_where_nothing_has_called(tmp_path: Path) -> None:
    places = ("move", "host_call", "return_to_guest", "irq", "fall_dormant")
    script = "".join(f"tbreak {place}\ncontinue\nbacktrace\n" for place in places)
    output = run_gdb(f"{START}backtrace\n{script}continue\nbacktrace\n", tmp_path)
    assert callers(output) == [
        ["_start"],
        ["move", "_start"],
        ["host_call", "host_call_entry", "call"],
        ["return_to_guest", "call"],
        ["irq", INTERRUPT, "idle", "sleep", "exec_loop", "kernel_main", "long_mode"],
        ["fall_dormant", "annihilate", "exec_loop", "kernel_main", "long_mode"],
        ["scrubbed"],
    ]
    assert "Backtrace stopped" not in output


def test_backtraces_lead_from_exceptions_to_what_they_interrupted(tmp_path: Path) -> None:
    (tmp_path / "tamper.toml").write_text('[[input]]\nkind = "tamper"\nat = "300 us"\n')
    found = []
    for options in ("divider", f"counter --inputs {tmp_path}/tamper.toml"):
        output = run_gdb(START.replace("counter", options) + "break exception\ncontinue\nbacktrace\n", tmp_path)
        assert "Backtrace stopped" not in output
        found += callers(output)
    assert found == [
        ["exception", INTERRUPT, "gate"],
        ["exception", INTERRUPT, "scrub", "mem_map", "kernel_main", "long_mode"],
    ]


def test_source_lines_forwards_and_backwards(tmp_path: Path) -> None:
    moves = "next\nnext\nnext\nreverse-next\nreverse-next\nstep\nreverse-finish\n"
    output = run_gdb(f"{START}break exec_loop\ncontinue\n{moves}", tmp_path)
    there, second, third, fourth, back, again, inside, out = re.findall(r"^(\d+)\t", output, re.M)[1:]
    assert len({there, second, third, fourth}) == 4
    assert (back, again, out) == (third, second, second)
    assert f"timer_init () at timer.c:{inside}" in output


def test_watchpoints_of_all_kinds_in_both_directions(tmp_path: Path) -> None:
    script = "watch cycle\nrwatch *(int *)&payload_count\nawatch *(long *)&kernel_rsp\n"
    moves = "continue\n" * 4 + "reverse-continue\n" * 4
    output = run_gdb(f"{START}break exec_loop\ncontinue\n{script}{moves}", tmp_path)
    kinds = [hit.partition(" watchpoint")[0] for hit in output.split("\n\nHardware ")[1:]]
    assert kinds == ["read", *["access (read/write)"] * 6, "read"]
    values = re.findall(r"^(?:Old value = (\d+)\nNew value|Value) = (\d+)$", output, re.M)
    assert len(values) == len(kinds)
    assert [old or new for old, new in values[4:]] == [new for _, new in values[3::-1]]


def test_instructions_that_stop_at_a_condition(tmp_path: Path) -> None:
    output = run_gdb(
        START + "break gate if $now_ns > 2000000\ncontinue\nprint $now_ns > 2000000 && $cpl == 3\n", tmp_path
    )
    assert_in_order(output, "Breakpoint 1, gate ()", "$1 = 1")


def test_the_end_can_be_gone_back_from(tmp_path: Path) -> None:
    output = run_gdb(
        START + "continue\nmonitor where\nreverse-stepi\nreverse-stepi\nstepi\nstepi\nstepi\nreverse-continue\n",
        tmp_path,
    )
    assert_in_order(
        output,
        *("No more reverse-execution history.", "dormant", "hlt", "No more reverse-execution history."),
        *("No more reverse-execution history.", "_start () at boot.S:43"),
    )


def test_32_bit_code_can_be_stepped_through_by_source_lines(tmp_path: Path) -> None:
    script = "stepi\nstepi\nprint $pc\nx/2xb $pc\nbreak long_mode\ncontinue\nprint $cs\nreverse-stepi\nprint $cs\n"
    output = run_gdb(START + "print/x $cr0 & 0x80000001\n" + script, tmp_path)
    assert_in_order(output, "$1 = 0x1", "lgdt", "ljmp", "long_mode () at boot.S", "ljmp")


def test_writes_are_part_of_the_run_in_both_directions(tmp_path: Path) -> None:
    start = START.replace("--cycles 2", "--cycles 3") + "break exec_loop\ncontinue\n"
    writes = "set var cycle = 1\nset var $rax = 5\nprint cycle\nprint $rax\n"
    back = "reverse-stepi\nreverse-stepi\nprint cycle\nprint $rax == 5\nstepi\nstepi\nprint cycle\nprint $rax\n"
    end = "delete\nwatch cycle\ncontinue\ncontinue\nreverse-continue\nreverse-continue\nreverse-continue\nprint cycle\n"
    output = run_gdb(start + writes + back + end, tmp_path)
    assert re.findall(r"^\$\d+ = (\d+)", output, re.M) == ["1", "5", "0", "0", "1", "5", "0"]
    assert "written at" in output
    values = re.findall(r"^Old value = (\d+)\nNew value = (\d+)", output, re.M)
    assert values == [("1", "2"), ("2", "3"), ("3", "2"), ("2", "1"), ("1", "0")]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("set var $cr2 = 5", "register 'cr2' cannot be written"),
        ("set var *(char *)host_call = 7", "Cannot access memory"),  # read-only in the memory map
        ("set var *(int *)0xfee00000 = 0", "Cannot access memory"),
    ],
)
def test_what_cannot_be_written_is_refused_in_words(command: str, message: str, tmp_path: Path) -> None:
    assert message in run_gdb(f"{START}break exec_loop\ncontinue\n{command}\n", tmp_path)


@pytest.mark.usefixtures("interruptible")
def test_over_tcp_one_gdb_after_the_other_and_ctrl_c(tmp_path: Path) -> None:
    with listening("--cycles", "1000000") as (server, port):
        target = f"set confirm off\nfile firmware/aether.elf\ntarget remote 127.0.0.1:{port}\n"
        output = run_gdb(f"{target}break exec_loop\ncontinue\ndetach\n", tmp_path)
        assert_in_order(output, "_start ()", "Breakpoint 1, exec_loop ()", "detached")
        (tmp_path / "run.gdb").write_text(f"{target}shell touch '{tmp_path}/runs'\ncontinue\nprint $now_ns > 1000000\n")
        command = ["gdb", "-nx", "-batch", "-x", str(tmp_path / "run.gdb")]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with subprocess.Popen(command, cwd=ROOT, text=True, start_new_session=True, **pipes) as started:  # type: ignore[call-overload]
            wait_until((tmp_path / "runs").exists)
            before = computed_s(server)
            wait_until(lambda: computed_s(server) > before + 0.5)  # it runs
            started.send_signal(signal.SIGINT)
            output = started.communicate(timeout=300)[0]
        assert_in_order(output, "exec_loop ()", "Program received signal SIGINT", "$1 = 1")
