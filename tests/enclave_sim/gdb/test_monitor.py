"""`monitor` commands print the facts, in whole lines."""

import re

import pytest

import firmware
from enclave_sim.gdb.monitor import Monitor
from enclave_sim.gdb.registers import SYSTEM, X86_64
from enclave_sim.memory_map import region
from enclave_sim.time_travel import Link, Position, Session
from machine.tpm.constants import Alg
from machine.tpm.model import TpmModel
from tests.enclave_sim.gdb.rig import ROOT, Client, served

COMMANDS = (
    "help where phase transition event scrub regions info writer calls from to wasm pcrs snapshot go link reset".split()
)


@pytest.fixture
def session() -> Session:
    made = Session("counter", cycles=2)
    made.run_to(symbol="host_call")
    return made


def one_line(client: Client, command: str) -> str:
    said = client.monitor(command)
    assert said.count("\n") == 1
    assert said.endswith("\n")
    return said[:-1]


def test_help_names_every_command_and_an_unknown_one_says_which_there_are(session: Session) -> None:
    with served(session) as client:
        assert [line.split()[0] for line in client.monitor("help").splitlines()] == COMMANDS
        assert client.monitor("") == client.monitor("help")
        assert one_line(client, "restart now") == f"no command 'restart'; there are {', '.join(COMMANDS)}"
        assert one_line(client, "\x1b[2J") == one_line(client, "\x1b[2J x")
        assert "\x1b" not in one_line(client, "\x1b[2J")


def test_where_and_phase_and_thread(session: Session) -> None:
    with served(session) as client:
        now = session.now.at_ns
        assert one_line(client, "where").endswith(f"host_call, {session.line}, ring 0, long mode, {now} ns")
        *phases, doing = client.monitor("phase").splitlines()
        assert [line.split()[1] for line in phases] == ["PROT_ENTRY", "MEM_MAP", "WASM_INIT", "EXEC_LOOP"]
        assert phases[-1].endswith("Active Execution")
        assert doing == "running: cycle 0"
        told = bytes.fromhex(client.ask(b"qThreadExtraInfo,1").decode()).decode()
        assert told == f"ring 0, EXEC_LOOP, {now} ns"
        client.ask(b"c")
        assert one_line(client, "where").endswith(", dormant")


def test_writers_and_calls(session: Session) -> None:
    with served(session) as client:
        here = session.now
        assert re.fullmatch(
            rf"last written at {here} by host_call_entry\S* \(interrupts\.S:\d+\)", one_line(client, "writer rsp")
        )
        status = one_line(client, "writer status 4")
        assert one_line(client, f"writer {firmware.built_in().symbols['status']:#x} 4") == status
        assert re.fullmatch(r"last written at \d+ ns by \S+ \(\w+\.c:\d+\)", status)
        *_, last = calls = client.monitor("calls scrub 3").splitlines()
        assert len(calls) == 3
        assert re.fullmatch(r"\d+ ns: \(base 0x\w+, size 0x\w+\) from \S+, returned after [\d,]+ ns", last)
        assert re.fullmatch(r"\d+ ns: \(\) from \S+, not returned", one_line(client, "calls exec_loop"))
        assert one_line(client, "calls annihilate") == "none yet"
        assert one_line(client, "writer 0xzz") == "'0xzz' is not a number or a symbol"
        assert one_line(client, "writer") == "writer takes a register, or an address or symbol and a number of bytes"
        assert one_line(client, "writer 0xffffffffffffffff 9").endswith("are not mapped to one piece of RAM here")
        assert one_line(client, "calls") == "calls takes a function, and a count"
        assert session.now == here


def test_where_values_come_from_and_go_to(session: Session) -> None:
    with served(session) as client:
        here = session.now
        value, first, *others = client.monitor("from edi").splitlines()
        assert value == f"edi = 0x1 at {here}"
        assert re.fullmatch(r"  \[1\] \d+ ns, host_call_entry\S* \(interrupts\.S:\d+\): mov rdi, rax", first)
        assert others[-1].strip().startswith("constant: ")
        assert session.now == here
        where, _ = client.monitor("from go 1").splitlines()
        assert "interrupts.S" in where
        assert session.now < here
        session.go_to(here)
        used = client.monitor("to rdi").splitlines()
        assert re.fullmatch(r"\d+ ns, host_call\S* \(traps\.c:\d+\): test rdi, rdi: data of rflags", used[0])
        assert used[-1].endswith("overwritten rdi")
        _, status = client.monitor("from status 1").splitlines()[:2]
        assert re.fullmatch(r"  \[1\] \d+ ns, \w+\S* \(\w+\.c:\d+\): \w+ .*", status)
        assert one_line(client, "from go 99").startswith("from go takes a step of the last answer, which has ")
        assert one_line(client, "from") == "from takes a register, or an address or symbol and a number of bytes"
        assert one_line(client, "to 0xzz") == "'0xzz' is not a number or a symbol"


def test_transition_shows_and_goes(session: Session) -> None:
    with served(session) as client:
        here = session.now
        assert "from_ring=3 to_ring=0 cause=software_interrupt" in one_line(client, "transition")
        where, hint = client.monitor("transition next").splitlines()
        assert "gate, gate.S:15, ring 3" in where
        assert "gdb --script" in hint
        assert session.now > here
        client.monitor("transition previous")
        assert session.now < here
        assert session.enclave.machine.cpu.registers.cpl == 0
        assert one_line(client, "transition sideways") == "transition takes nothing, next, or previous"
        client.monitor("go 0")
        assert one_line(client, "transition") == "the ring has not changed yet"
        assert one_line(client, "transition previous") == "no ring transition lies before 0 ns"
        assert session.now == Position(0)


def test_events_and_scrubs(session: Session) -> None:
    with served(session) as client:
        assert len(client.monitor("event").splitlines()) == 10
        assert len(client.monitor("event 3").splitlines()) == 3
        assert len(client.monitor("event 1000").splitlines()) == len(session.events)
        assert all(" scrubbed " in line for line in client.monitor("scrub 5").splitlines())
        for wrong in ("event 0", "event 1001", "scrub x", "event 1 2", "event -1"):
            assert one_line(client, wrong) == "a count is one number from 1 to 1000"


def test_regions_count_pages_that_are_not_zero(session: Session) -> None:
    with served(session) as client:
        lines = {line.split()[5]: line for line in client.monitor("regions").splitlines()}
    ram, stack = session.enclave.machine.ram, region("kernel_stack")
    used = sum(any(ram.read(page, 4096)) for page in range(stack.base, stack.end, 4096))
    assert f"{used} page" in lines["kernel_stack"]
    assert lines["heap"].startswith("0x00c00000 0x00ffffff rw- ring 3")


def as_gef_reads_it(said: str) -> list[tuple[int, int, int, str]]:
    """Start, end, size and rights of each line, of the format `START-END SIZE RIGHTS`."""
    lines = [re.fullmatch(r"(\w{16})-(\w{16}) (\w{16}) ([-u][-r][-w])", line) for line in said.splitlines()]
    return [(int(one[1], 16), int(one[2], 16), int(one[3], 16), one[4]) for one in lines if one]


def test_info_mem_is_in_the_format_of_qemu(session: Session) -> None:
    with served(session) as client:
        assert client.ask(b"Qqemu.sstepbits") == b"ENABLE=1"  # by which gef and pwndbg detect it
        assert client.ask(b"qOffsets") == b""
        lines = as_gef_reads_it(client.monitor("info mem"))
        assert all(size == end - start for start, end, size, _ in lines)
        gate, heap, stack = region("gate"), region("heap"), region("kernel_stack")
        assert (gate.base, gate.end, gate.size, "ur-") in lines
        assert (heap.base, heap.end, heap.size, "urw") in lines
        assert (stack.base, stack.end, stack.size, "-rw") in lines
        assert one_line(client, "info") == one_line(client, "info tlb") == "info takes mem"
        client.monitor("go 0")
        assert one_line(client, "info mem") == "PG disabled"


def test_pcrs_are_those_of_the_tpm(session: Session) -> None:
    tpm = session.enclave._tpm
    assert isinstance(tpm, TpmModel)
    with served(session) as client:
        lines = client.monitor("pcrs").splitlines()
        client.monitor("go 0")
        assert one_line(client, "pcrs") == "no PCR has been extended yet"
        client.ask(b"c")
        capped = client.monitor("pcrs").splitlines()
    assert capped != lines
    for line in capped:
        _, number, value, _ = line.split(maxsplit=3)
        assert tpm._state.pcrs.value(Alg.SHA256, int(number)).hex() == value


def test_moments_have_names(session: Session) -> None:
    with served(session) as client:
        here = session.now
        assert one_line(client, "snapshot") == "no position has a name"
        assert one_line(client, "snapshot before") == f"before is {here}"
        client.ask(b"c")
        client.monitor("go before")
        assert session.now == here
        assert one_line(client, "snapshot") == f"before {here}"
        assert one_line(client, "snapshot 1x").startswith("snapshot takes nothing or one name")
        client.monitor("go 500_000")
        assert session.now.at_ns >= 500_000
        client.monitor("go 0x100")
        assert session.now.at_ns == 0x100
        assert (
            one_line(client, "go nowhere")
            == "go takes the name of a snapshot, a link, or a virtual time such as 1.29ms"
        )
        assert one_line(client, "go") == one_line(client, "go a b") == one_line(client, "go nowhere")
        assert one_line(client, "go -1") == "go takes the name of a snapshot, a link, or a virtual time such as 1.29ms"
        assert "before the run ends" in one_line(client, "go 99_000_000_000")
        assert session.now.at_ns == 0x100


def test_the_page_names_every_command_and_every_register_of_the_system() -> None:
    page = (ROOT / "docs/gdb.md").read_text()
    assert [name for name in COMMANDS if f"`monitor {name}" not in page] == []
    system = [one.name for one in X86_64.registers if one.feature == SYSTEM and not one.name.startswith("dr")]
    assert [name for name in system if f"`{name}`" not in page] == []


def test_reset_goes_to_the_beginning(session: Session) -> None:
    session.run_to(at_ns=5_000)
    with served(session) as client:
        assert client.monitor("reset").startswith(f"{firmware.built_in().symbols['_start']:#x} _start")
        assert session.now.at_ns == 0
        assert one_line(client, "reset now") == "reset takes nothing"


def test_a_run_starts_again_only_in_extended_mode(session: Session) -> None:
    session.run_to(at_ns=5_000)
    with served(session) as client:
        assert client.ask(b"vRun;6b;61") == b""
        assert client.ask(b"!") == b"OK"
        assert client.ask(b"vRun;6b;61").startswith(b"T05")
        assert session.now.at_ns == 0
        assert client.ask(b"vKill;1") == b"OK"
        assert client.ask(b"qC") == b"QC1"


def test_link_names_the_position_and_go_takes_it(session: Session) -> None:
    with served(session) as client:
        here = session.now
        link = one_line(client, "link the first call")
        assert Link.parse(link).note == "the first call"
        client.monitor("reset")
        assert "host_call, " in client.monitor(f"go {link}")
        assert session.now == here
        refused = one_line(
            client,
            f"go {link.replace('option.cycles=2', 'option.cycles=5').replace('configuration=', 'configuration=0')}",
        )
        assert refused.startswith("the link's configuration is ")
        assert session.now == here


def test_a_resident_guest_is_shown_and_stepped_by_its_own_instructions() -> None:
    session = Session("counter", cycles=1, engine="resident")
    session.run_to(event="guest_instantiated")
    monitor = Monitor(session)
    assert monitor.run("wasm") == "the guest's state is not known here\n"
    assert monitor.run("wasm step").splitlines()[2:] == [
        "_start (function 1) at +0x1: next global.get 0",
        "locals    none",
        "operands  none",
        "globals   i32 0x8000, i32 0x0",
    ]
    first = session.now
    assert "next call 0" in monitor.run("wasm to _start +0x13")
    address, condition = monitor.run("wasm break 1 0x15").removeprefix("break *").split(" if ")
    register, value = condition.removeprefix("$").split(" == ")
    monitor.run("wasm over")
    registers = session.machine.cpu.registers
    assert (registers.rip, getattr(registers, register)) == (int(address, 16), int(value, 16))
    assert "next call 0" in monitor.run("wasm back")
    assert "at +0x1: next" in monitor.run("wasm back-to _start")
    assert session.now == first
    assert monitor.run("wasm out") == "the function is _start, which no function of the guest has called\n"
    assert monitor.run("wasm to nowhere") == "the guest has no function 'nowhere'\n"
    assert monitor.run("wasm to _start x") == "'x' is not an offset in a function, such as +0x9\n"
    assert monitor.run("wasm sideways").startswith("wasm takes nothing, step, over, out, back, ")
    assert session.now == first


def test_a_guest_of_wasmtime_has_no_instructions_in_the_machine() -> None:
    session = Session("counter", cycles=1)
    assert Monitor(session).run("wasm").endswith("only with the engine resident\n")
