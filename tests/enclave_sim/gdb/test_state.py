"""Registers and memory are those of the machine, at any moment of a run."""

import re
import xml.etree.ElementTree as ET
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from enclave_sim.gdb.registers import X86_64
from enclave_sim.memory_map import region, regions
from enclave_sim.time_travel import Session
from machine.architecture.processor_state import GENERAL_REGISTERS
from tests.enclave_sim.gdb.rig import Client, document, served


@cache
def session() -> Session:
    return Session("counter", cycles=2)


GUARD = region("irq_stack").end


def read(client: Client, address: int, length: int) -> bytes | None:
    answer = client.ask(f"m{address:x},{length:x}".encode())
    return None if answer == b"E0e" else bytes.fromhex(answer.decode())


@settings(max_examples=25)
@given(at_ns=st.integers(1, 3_004_957))
def test_registers_are_those_of_the_machine(at_ns: int) -> None:
    session().reverse_to(at_ns=at_ns) if session().now.at_ns > at_ns else session().run_to(at_ns=at_ns)
    cpu = session().enclave.machine.cpu
    with served(session()) as client:
        each = [client.ask(b"p%x" % number) for number in range(len(X86_64.registers))]
        assert client.ask(b"g") == b"".join(each)
        numbers = X86_64.numbers.items()
        values = {name: int.from_bytes(bytes.fromhex(each[at].decode()), "little") for name, at in numbers}
        assert {name: values[name] for name in GENERAL_REGISTERS} == {
            name: getattr(cpu.registers, name) for name in GENERAL_REGISTERS
        }
        assert (values["rip"], values["eflags"], values["cpl"]) == (cpu.rip, cpu.rflags, cpu.registers.cpl)
        assert values["now_ns"] == session().now.at_ns
        for name in ("cs", "ss", "ds", "es", "fs", "gs", "cr0", "cr2", "cr3", "cr4", "efer", "dr6", "dr7", "mxcsr"):
            assert values[name] == cpu.read_register(name.upper())
        for number in range(16):
            assert values[f"xmm{number}"] == cpu.read_register(f"XMM{number}")
        for table in ("GDTR", "IDTR", "TR"):
            _, base, limit = cpu.read_table_register(table)
            assert (values[f"{table.lower()}_base"], values[f"{table.lower()}_limit"]) == (base, limit)


def test_the_target_description_names_every_register_in_order() -> None:
    with served(session()) as client:
        text = document(client, b"features:read:target.xml", 0x1000)
        assert document(client, b"features:read:target.xml", 0x7FF) == text
        assert client.ask(b"qXfer:features:read:target.xml:100000,10") == b"l"
        assert client.ask(b"qXfer:features:read:other.xml:0,10") == b""
        assert client.ask(b"p%x" % len(X86_64.registers)) == b"E01"
    root = ET.fromstring(text)
    told = [(one.get("name"), int(one.get("bitsize", ""))) for one in root.iter("reg")]
    assert told == [(one.name, one.bits) for one in X86_64.registers]
    assert root.findtext("architecture") == "i386:x86-64"
    assert [one.get("name") for one in root.iter("feature")] == [
        *("org.gnu.gdb.i386.core", "org.gnu.gdb.i386.sse", "org.gnu.gdb.i386.segments", "org.enclave-sim.system"),
    ]


def test_the_memory_map_covers_ram_once_and_marks_what_is_measured() -> None:
    with served(session()) as client:
        text = document(client, b"memory-map:read:", 0x800)
    parts = re.findall(r'type="(\w+)" start="(\w+)" length="(\w+)"/><!-- (\w+) -->', text.decode())
    end = 0
    for _, start, length, _ in parts:
        assert int(start, 0) == end
        end += int(length, 0)
    assert end == session().enclave.machine.ram.size
    told = {name: kind for kind, _, _, name in parts if name != "other"}
    assert told == {one.name: "rom" if one.measured else "ram" for one in regions()}


@settings(max_examples=40)
@given(data=st.data())
def test_what_is_mapped_is_read_in_any_ring(data: st.DataObject) -> None:
    one = data.draw(st.sampled_from(regions()))
    address = data.draw(st.integers(one.base, one.end - 1))
    length = data.draw(st.integers(1, 0x1800))
    symbol = data.draw(st.sampled_from(["gate", "host_call"]))
    if session().enclave.machine.cpu.registers.cpl != (3 if symbol == "gate" else 0):
        session().go_to(session()._timeline.snapshots[0])
        session().run_to(symbol=symbol)
    with served(session()) as client:
        found = read(client, address, length)
        if session().enclave.machine.cpu.memory.look(address) is None:
            assert one.name in ("globals", "values", "calls")  # of the resident VMM
            assert found is None
            return
        assert found is not None
        assert found == session().enclave.machine.ram.read(address, len(found))
        if address + length <= one.end:
            assert len(found) == length
        binary = client.ask(f"x{address:x},{length:x}".encode())
        assert binary == b"b" + found


def test_unmapped_memory_and_devices_cannot_be_read() -> None:
    session().go_to(session()._timeline.snapshots[0])
    session().run_to(symbol="gate")
    with served(session()) as client:
        assert read(client, GUARD - 8, 16) == session().enclave.machine.ram.read(GUARD - 8, 8)
        for address in (0, GUARD, 0xFEF0_0000, 0xFEE0_0000, 1 << 47, 0x4000_0000, 2**64 - 1):
            assert read(client, address, 8) is None
        assert read(client, 0, 0) == b""
        accesses = session().enclave.machine.bus.accesses
        read(client, 0xFEF0_0000, 4)
        assert session().enclave.machine.bus.accesses == accesses


def test_before_paging_memory_is_physical() -> None:
    session().go_to(session()._timeline.snapshots[0])
    ram = session().enclave.machine.ram
    with served(session()) as client:
        assert read(client, 0x10_0000, 64) == ram.read(0x10_0000, 64)
        assert read(client, ram.size - 4, 8) == ram.read(ram.size - 4, 4)
        assert read(client, ram.size, 4) is None


def at_the_gate() -> Session:
    made = Session("counter", cycles=2)
    made.run_to(symbol="gate")
    return made


def test_memory_is_written_in_any_ring_where_it_is_mapped_to_ram() -> None:
    run = at_the_gate()
    ram, heap = run.machine.ram, region("heap")
    with served(run) as client:
        assert client.ask(b"M%x,4:01020304" % (heap.base + 0xFFE)) == b"OK"  # across pages
        assert client.ask(b"X%x,2:\x05#" % heap.base) == b"OK"
        assert client.ask(b"X%x,0:" % heap.base) == b"OK"  # gdb asks so whether the packet is known
        assert ram.read(heap.base + 0xFFE, 4) == bytes([1, 2, 3, 4])
        assert ram.read(heap.base, 2) == b"\x05#"
        assert run.now.step == 3  # one for each page
        for address in (GUARD - 2, 0, 0xFEE0_0000, 2**64 - 2):
            assert client.ask(b"M%x,4:01020304" % address) == b"E0e"
        for packet in (b"M100000,2:00", b"M100000,1:0", b"M100000,1:xy", b"M100000:00", b"X100000,1:", b"M", b"X"):
            assert client.ask(packet) == b"E01"
        assert run.now.step == 3
        for _ in range(3):
            client.ask(b"bs")
        assert ram.read(heap.base, 0x1002) == bytes(0x1002)


def test_registers_are_written_alone_and_all_together() -> None:
    run = at_the_gate()
    numbers, registers = X86_64.numbers, run.machine.cpu.registers
    with served(run) as client:
        for name in ("rax", "r9", "rip"):
            assert client.ask(b"P%x=4000000000000000" % numbers[name]) == b"OK"
            assert getattr(registers, name) == 0x40
        assert run.now.step == 3
        assert client.ask(b"P%x=4000000000000000" % numbers["rax"]) == b"OK"
        everything = client.ask(b"g")
        assert client.ask(b"G" + everything) == b"OK"
        assert run.now.step == 3  # nothing has changed
        changed = bytearray(bytes.fromhex(everything.decode()))
        changed[:8] = bytes([1, *bytes(7)])
        assert client.ask(b"G" + changed.hex().encode()) == b"OK"
        assert registers.rax == 1
        at = sum(one.bits // 8 for one in X86_64.registers[: numbers["cr0"]])
        changed[0], changed[at] = 2, changed[at] ^ 1
        assert client.ask(b"G" + changed.hex().encode()).startswith(b"E.register 'cr0' cannot be written; rax, ")
        assert registers.rax == 1  # all or nothing
        for packet in (b"G00", b"P0=00", b"P0", b"P0=xx", b"P%x=00" % len(X86_64.registers), b"P=00"):
            assert client.ask(packet) == b"E01"
        assert client.ask(b"P%x=0000000000000080" % numbers["rip"]).startswith(
            b"E.rip 0x8000000000000000 is not canonical"
        )


def test_what_a_write_ends_is_said_at_the_next_stop_and_later_names_are_gone() -> None:
    run = at_the_gate()
    with served(run) as client:
        client.monitor("snapshot gate")
        client.ask(b"s")
        client.monitor("snapshot later")
        client.ask(b"bs")
        here, before = run.now, len(client.output)
        assert client.ask(b"M%x,1:07" % region("heap").base) == b"OK"
        assert client.monitor("snapshot") == f"gate {here}\n"
        before = len(client.output)
        client.ask(b"s")
        assert client.output[before:] == f"written at {here}: later events are discarded\n"
        before = len(client.output)
        client.ask(b"s")
        assert client.output[before:] == ""


def test_a_run_goes_on_nowhere_else_and_not_from_its_end() -> None:
    run = at_the_gate()
    with served(run) as client:
        for packet in (b"c100000", b"s100000", b"C05;100000", b"S05;100000"):
            assert client.ask(packet).startswith(b"E.a run goes on where it is")
        client.ask(b"c")
        assert client.ask(b"P0=0100000000000000").endswith(b"the run is over")
        assert run.machine.cpu.registers.rax == 0
