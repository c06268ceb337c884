"""`enclave-sim gdb` as a process: where it listens, whom it serves, and how it ends."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import firmware
from enclave_sim.cli.app import app
from enclave_sim.events import InputTaken
from enclave_sim.gdb.protocol.packets import encoded
from enclave_sim.inputs import MemoryWrite
from enclave_sim.recording import Recording
from enclave_sim.time_travel.replay import replay
from tests.enclave_sim.gdb.rig import COMMAND, ROOT, Client
from tests.enclave_sim.gdb.serving import listening, process
from tests.machine.boot import images

pytestmark = pytest.mark.usefixtures("interruptible")


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=300)


@pytest.mark.slow
def test_it_serves_one_client_after_the_other_whatever_they_leave() -> None:
    with listening("counter") as (started, port):
        for left in (b"", b"\0\xff" * 1000, b"$m1000", encoded(b"c")[:-1], encoded(b"c"), encoded(b"Z0,1012c0,1")):
            with connect(port) as connection:
                connection.sendall(left)
        with connect(port) as connection:
            client = Client(connection)
            client.ask(b"bc")
            assert b"replaylog:begin" in client.ask(b"?")
            assert client.ask(b"s").startswith(b"T05")
            assert client.ask(b"D") == b"OK"
        with connect(port) as connection:
            assert b"replaylog:begin" in Client(connection).ask(b"bc")
        started.send_signal(signal.SIGINT)
        assert started.wait(300) == 0
        assert started.stderr is not None
        assert started.stderr.read() == b""


def test_ctrl_c_ends_it_during_a_run() -> None:
    with listening("--cycles", "1000000") as (started, port), connect(port) as connection:
        client = Client(connection)
        client.send(b"c")
        while not client.controls:  # it is told that its packet has come, and then the run begins
            client.receive()
        time.sleep(0.2)  # so that it is most likely running; before that, Ctrl-C does the same
        started.send_signal(signal.SIGINT)
        assert started.wait(300) == 0
        assert started.stderr is not None
        assert started.stderr.read() == b""
        with pytest.raises((EOFError, ConnectionError)):
            client.answer()


@pytest.mark.slow
def test_on_standard_input_and_output_it_ends_with_its_client_and_leaves_ctrl_c_to_it() -> None:
    for last in (encoded(b"k"), encoded(b"D"), b""):
        with process("--stdio") as started:
            assert started.stdin is not None
            assert started.stdout is not None
            started.stdin.write(encoded(b"qC"))
            started.stdin.flush()
            said = b""
            while not said.endswith(encoded(b"QC1")):
                said += started.stdout.read(1)
            assert set(said[: -len(encoded(b"QC1"))]) == set(b"+")  # and more of these while the run is made
            started.send_signal(signal.SIGINT)
            started.stdin.write(last)
            started.stdin.close()
            assert started.wait(300) == 0


@pytest.mark.slow
def test_the_run_that_gdb_leaves_is_recorded_with_what_it_wrote_and_replayed(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with listening("counter", "--cycles", "3", "--record", str(path)) as (started, port):
        with connect(port) as connection:
            client = Client(connection)
            client.ask(b"Z0,%x,1" % firmware.built_in().symbols["exec_loop"])
            client.ask(b"c")
            assert client.ask(b"M%x,4:01000000" % firmware.built_in().symbols["cycle"]) == b"OK"
            client.ask(b"c")
            client.ask(b"bs")
        started.send_signal(signal.SIGINT)
        assert started.wait(300) == 0
    assert replay(path).equal
    taken = [event.given for event in Recording.load(path).of_kind(InputTaken)]
    assert taken == [MemoryWrite(at_ns=0, address=firmware.built_in().symbols["cycle"], data="01000000")]


HEAVY = ("click", "unicorn", "msgspec", "wasmtime", "cryptography", "elftools", "capstone", "machine")
"""Modules that a run or its command line needs and the first answer does not."""


def test_the_first_packet_is_answered_before_anything_heavy_is_imported() -> None:
    program = """
import os, sys
write = os.write
def note(descriptor, data):
    if b"PacketSize" in data:
        print(*sys.modules, file=sys.stderr)
    return write(descriptor, data)
os.write = note
from enclave_sim.cli.main import main
sys.argv = ["enclave-sim", "gdb", "counter", "--stdio"]
main()
"""
    said = b"+" + encoded(b"qSupported:swbreak+") * 2 + b"+" + encoded(b"qC") + b"+" + encoded(b"k")
    ended = subprocess.run([sys.executable, "-c", program], input=said, cwd=ROOT, capture_output=True, check=True)
    assert [name for name in HEAVY if name in ended.stderr.decode().split()] == []
    assert ended.stderr.count(b"\n") == 1
    assert ended.stdout.count(b"PacketSize") == 1
    assert ended.stdout.endswith(b"+" + encoded(b"QC1") + b"+")


def test_a_usage_error_after_the_first_answer_is_one_line() -> None:
    with process("nowhere.wasm", "--stdio") as started:
        output, error = started.communicate(b"+" + encoded(b"qSupported"), timeout=300)
        assert (started.returncode, error.count(b"\n")) == (2, 1)
        assert output.startswith(b"+$PacketSize")


def test_closed_standard_input_is_one_line() -> None:
    done = subprocess.run(f"{' '.join(COMMAND)} --stdio <&-", shell=True, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: --stdio needs standard input and output")


def refused(*options: str) -> str:
    result = CliRunner().invoke(app, ["gdb", *options], env={"COLUMNS": "80"})
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def kernel_named(directory: Path, name: str) -> Path:
    (directory / name).write_bytes(images.kernel1())
    return directory / name


def test_what_cannot_be_served_is_one_line(tmp_path: Path) -> None:
    assert "--stdio takes no --port" in refused("--stdio", "--port", "5")
    assert "--stdio takes no --port and no --host" in refused("--stdio", "--host", "::1")
    assert "cannot record to" in refused("--record", str(tmp_path), "--port", "0")
    (tmp_path / "notes.txt").write_text("mine")
    assert "it exists and is not a recording" in refused("--record", str(tmp_path / "notes.txt"), "--stdio")
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert "--record is for payloads; this is a kernel image" in refused(
        "--record", "x", str(kernel_named(tmp_path, "kernel.elf"))
    )
    assert "--script takes no --stdio, --port, --host and --at" in refused("--script", "--port", "5")
    assert "no payload 'kernle.elf'" in refused("--script", "kernle.elf")
    assert "line break" in refused("--script", str(kernel_named(tmp_path, "two\nlines.elf")))
    assert "--port" in refused("--port", "65536")
    assert "cycles is 0" in refused("--cycles", "0")
    assert "nowhere.wasm" in refused(str(tmp_path / "nowhere.wasm"))
    assert "--inputs" not in refused("--inputs", str(tmp_path / "missing.toml"))
    assert "cannot listen at 192.0.2.1 port 0" in refused("--host", "192.0.2.1", "--port", "0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"cannot listen at 127.0.0.1 port {port}: Address already in use" in refused("--port", str(port))
