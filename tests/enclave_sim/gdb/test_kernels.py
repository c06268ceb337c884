"""gdb moves through a bare kernel, with the registers of its image's architecture."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner

from enclave_sim.cli.app import app
from enclave_sim.cli.runs.travel import kernel_run
from enclave_sim.enclave.kernel.bare_kernel import BareKernel, KernelOptions
from enclave_sim.gdb.registers import I386, X86_64, Architecture
from enclave_sim.time_travel.travel import Travel
from tests.c_kernel import compiled
from tests.enclave_sim.cli.runs.boot_command import typed, write
from tests.enclave_sim.enclave.kernel.serial_kernels import ECHO, RECEIVE_AND_LEAVE, on_interrupt
from tests.enclave_sim.gdb.rig import document, needs_gdb, run_gdb, served
from tests.machine.boot import images
from tests.sampling import sampled


def travel(image: bytes) -> Travel[BareKernel]:
    return Travel(lambda recorder: BareKernel("kernel.elf", image, ram_bytes=4 << 20, recorder=recorder))


@pytest.mark.parametrize(("bits", "known"), [(32, I386), (64, X86_64)])
def test_the_registers_are_those_of_the_images_class(bits: int, known: Architecture) -> None:
    with served(travel(images.kernel1(bits=bits))) as client:
        root = ET.fromstring(document(client, b"features:read:target.xml", 0x1000))
        assert root.findtext("architecture") == known.name
        told = [(one.get("name"), int(one.get("bitsize", ""))) for one in root.iter("reg")]
        assert told == [(one.name, one.bits) for one in known.registers]
        assert len(client.ask(b"g")) == sum(one.bits for one in known.registers) // 4
        stop = client.ask(b"?").decode()
        assert {f"{known.numbers[name]:02x}:" in stop for name in known.expedited} == {True}
        entry = images.BASE + len(images.header1())
        assert client.number(b"p%x" % known.numbers["eip" if bits == 32 else "rip"]) == entry


def test_there_is_no_memory_map_since_linear_addresses_may_be_no_physical_ones() -> None:
    with served(travel(images.kernel1())) as client:
        assert client.ask(b"qXfer:memory-map:read::0,1000") == b"E0e"
        assert client.ask(f"m{images.BASE:x},4".encode()) == images.header1()[:4].hex().encode()


def test_monitor_commands_speak_of_the_kernel() -> None:
    with served(travel(images.kernel1())) as client:
        assert "bare kernel" in client.monitor("phase")
        assert "segment0" in client.monitor("regions")
        assert "protected mode" in client.monitor("where")
        assert bytes.fromhex(client.ask(b"qThreadExtraInfo,1").decode()).startswith(b"ring 0, protected mode, ")
        client.ask(b"c")
        assert client.monitor("where").endswith(f"left, exit status {images.EXIT_STATUS}\n")


POLLING, SLEEPING = (ECHO, b"HALq", b"IBM"), (on_interrupt(RECEIVE_AND_LEAVE), b"!", b">!")


@pytest.mark.parametrize(
    ("code", "keys", "output"), sampled([POLLING, SLEEPING], SLEEPING), ids=["polling", "sleeping"]
)
def test_what_came_over_the_serial_line_comes_again_in_both_directions(
    tmp_path: Path, code: bytes, keys: bytes, output: bytes
) -> None:
    image, recording = write(tmp_path, code), tmp_path / "typed.jsonl"
    assert typed(keys, image, "--serial", "stdio", "--record", recording).output == output
    run = kernel_run(str(image), KernelOptions(ram_bytes=4 << 20), str(recording))
    with served(run) as client:
        for _ in range(2):
            assert b"replaylog:end" in client.ask(b"c")
            assert run.machine.uart.transmitted == output
            assert b"replaylog:begin" in client.ask(b"bc")
            assert run.machine.uart.transmitted == b""


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["gdb", *arguments])
    assert result.exit_code == 2
    assert len(result.output.splitlines()) == 1
    return result.output


def test_options_that_are_for_something_else_are_refused(tmp_path: Path) -> None:
    kernel = tmp_path / "kernel.elf"
    kernel.write_bytes(images.kernel1())
    assert "--cycles is for payloads; this is a kernel image" in refused(str(kernel), "--cycles", "2", "--stdio")
    assert "--append is for a kernel image; this is payloads" in refused("beacon", "--append", "x", "--stdio")
    assert "a kernel image, which runs alone" in refused(str(kernel), "beacon", "--stdio")
    assert "--serial is for a kernel image; this is payloads" in refused("beacon", "--serial", "x", "--stdio")
    assert "stdio" in refused(str(kernel), "--serial", "stdio", "--stdio")
    assert "cannot boot" in refused(str(broken(tmp_path)), "--stdio")


def broken(directory: Path) -> Path:
    path = directory / "broken.elf"
    path.write_bytes(b"\x7fELF" + bytes(64))
    return path


SCRIPT = """\
set confirm off
file {image}
target remote | enclave-sim gdb {image} --stdio
break first
continue
backtrace
watch result
continue
print result
reverse-continue
print result
reverse-continue
print n
delete
reverse-finish
next
print result
monitor where
"""


@pytest.mark.slow
@pytest.mark.gdb
@needs_gdb
def test_the_real_gdb_goes_both_ways_through_a_kernel_in_c(tmp_path: Path) -> None:
    image = compiled(tmp_path)
    output = run_gdb(SCRIPT.format(image=image), tmp_path)
    assert "warning" not in output
    assert re.search(r"#0 +first \(n=5\) at .*kernel\.c:\d+\n#1 .* in main \(\) at .*kernel\.c:\d+", output)
    assert re.findall(r"^\$\d+ = (\d+)$", output, re.M) == ["30", "0", "5", "30"]
    assert re.search(r"Old value = 0\nNew value = 30", output)
    assert re.search(r"Old value = 30\nNew value = 0", output)


@pytest.mark.long
@pytest.mark.gdb
@needs_gdb
def test_the_real_gdb_takes_an_image_of_64_bits_as_a_kernel_of_ones_own(tmp_path: Path) -> None:
    script = "set confirm off\nfile firmware/aether.elf\ntarget remote | enclave-sim gdb firmware/aether.elf --stdio\n"
    output = run_gdb(f"{script}break kernel_main\ncontinue\nprint/x $efer & 0x400\nreverse-continue\n", tmp_path)
    assert "Breakpoint 1, kernel_main" in output
    assert "$1 = 0x400" in output
    assert output.rindex("_start ()") > output.index("$1 = ")
