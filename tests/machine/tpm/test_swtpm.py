"""The connection to swtpm: its answers, and every way to get none."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from machine.devices.tpm_crb import TpmCrb
from machine.errors import MachineError
from machine.processor.clock import Clock
from machine.processor.step_hook import NEVER, HookState
from machine.tpm.backend import TpmUnavailable
from machine.tpm.constants import Rc
from machine.tpm.messages import error_response
from machine.tpm.swtpm import Swtpm
from tests.machine.tpm import commands as tpm
from tests.machine.tpm.conftest import SwtpmProcess

SENT = tpm.startup()
SUCCESS = error_response(Rc.SUCCESS)
Serve = Callable[[Callable[[socket.socket], None]], Path]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A server on a socket, which treats its only client as configured."""
    threads: list[threading.Thread] = []

    def start(treat: Callable[[socket.socket], None]) -> Path:
        path = tmp_path / f"socket{len(threads)}"
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        server.listen()

        def run() -> None:
            client, _ = server.accept()
            server.close()
            with client, contextlib.suppress(ConnectionError):
                treat(client)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return path

    yield start
    for thread in threads:
        thread.join()


def answering(*answers: bytes) -> Callable[[socket.socket], None]:
    def treat(client: socket.socket) -> None:
        for answer in answers:
            client.recv(4096)
            client.sendall(answer)

    return treat


def failure(of: Swtpm, command: bytes = SENT) -> str:
    with pytest.raises(TpmUnavailable) as raised:
        of.execute(command, 0)
    return str(raised.value)


def test_a_response_is_read_whole_however_it_is_cut(serve: Serve) -> None:
    def treat(client: socket.socket) -> None:
        client.recv(4096)
        for byte in SUCCESS:
            client.sendall(bytes([byte]))
        client.recv(4096)

    made = Swtpm(serve(treat))
    assert made.execute(SENT, 0) == SUCCESS
    made.close()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "the connection ended after 0 of 10 bytes"),
        (SUCCESS[:7], "the connection ended after 7 of 10 bytes"),
        (tpm.with_size(SUCCESS, 20), "the connection ended after 0 of 10 bytes"),
        (tpm.with_size(SUCCESS, 9), "a response cannot have 9 bytes"),
        (tpm.with_size(SUCCESS, 4097), "a response cannot have 4097 bytes"),
    ],
)
def test_half_an_answer_is_none_and_nothing_is_asked_again(serve: Serve, answer: bytes, why: str) -> None:
    made = Swtpm(serve(answering(answer)))
    assert failure(made) == failure(made) == f"swtpm: {why}"


def test_an_answer_that_is_too_long_is_noticed_before_the_next_command(serve: Serve) -> None:
    waiting = threading.Event()

    def treat(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(SUCCESS + b"\0")
        waiting.set()
        client.recv(4096)

    made = Swtpm(serve(treat))
    assert made.execute(SENT, 0) == SUCCESS
    waiting.wait()
    assert failure(made) == "swtpm: it sent more than it was asked for"


def test_silence_ends_with_the_time_limit(serve: Serve) -> None:
    made = Swtpm(serve(lambda client: [client.recv(4096) for _ in range(2)]), timeout_s=0.05)  # type: ignore[arg-type]
    assert failure(made) == "swtpm: no answer within 0.05 s"


def test_drops_that_never_fill_the_answer_end_with_the_time_limit(serve: Serve) -> None:
    def treat(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(tpm.with_size(SUCCESS, 4096))
        client.settimeout(0.01)
        for _ in range(200):
            try:
                client.sendall(b"\0")
                if not client.recv(1):
                    return
            except TimeoutError:
                continue
            except OSError:
                return

    assert failure(Swtpm(serve(treat), timeout_s=0.1)) == "swtpm: no answer within 0.1 s"


@pytest.mark.parametrize("name", ["missing", "a\0b", "x" * 200])
def test_where_nothing_listens_there_is_no_tpm(tmp_path: Path, name: str) -> None:
    with pytest.raises(TpmUnavailable, match="swtpm: cannot connect to"):
        Swtpm(f"{tmp_path}/{name}")


def test_a_control_socket_that_is_missing_is_said_so(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(TpmUnavailable, match="missing"):
        Swtpm(serve(answering()), tmp_path / "missing")


def test_the_time_limit_is_a_time(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="time limit"):
        Swtpm(tmp_path / "d", timeout_s=0)


def test_a_reset_that_is_refused_is_not_a_reset(serve: Serve) -> None:
    made = Swtpm(serve(answering()), serve(answering(tpm.u32(9))))
    with pytest.raises(TpmUnavailable, match="CMD_INIT ended with 0x9"):
        made.power_on()


def test_other_localities_need_the_control_socket(serve: Serve) -> None:
    made = Swtpm(serve(answering()))
    with pytest.raises(TpmUnavailable, match="locality 1 needs the control socket"):
        made.execute(SENT, 1)
    made.close()


def test_its_state_cannot_be_taken_or_set(serve: Serve) -> None:
    made = Swtpm(serve(answering()))
    crb = TpmCrb(Clock(HookState(deadline=NEVER)), made)
    with pytest.raises(MachineError, match="cannot be saved"):
        crb.save_state()
    with pytest.raises(MachineError, match="cannot be set"):
        made.load_state({})
    made.close()


@pytest.mark.tpm
def test_power_on_is_a_tpm_reset(swtpm_process: SwtpmProcess) -> None:
    made = swtpm_process.connect()
    assert tpm.code_of(made.execute(tpm.startup(), 0)) == 0
    assert tpm.code_of(made.execute(tpm.startup(), 0)) == 0x100
    made.power_on()
    assert tpm.code_of(made.execute(tpm.startup(), 0)) == 0
    made.close()


@pytest.mark.tpm
def test_without_the_control_socket_power_on_leaves_the_tpm_as_it_is(swtpm_process: SwtpmProcess) -> None:
    made = Swtpm(swtpm_process.data)
    made.execute(tpm.startup(), 0)
    made.power_on()
    assert tpm.code_of(made.execute(tpm.startup(), 0)) == 0x100
    made.close()


@pytest.mark.tpm
def test_a_swtpm_killed_in_the_middle_of_a_command_is_a_fatal_error_of_the_crb(swtpm_process: SwtpmProcess) -> None:
    crb = TpmCrb(Clock(HookState(deadline=NEVER)), swtpm_process.connect())
    crb.write(0x08, 4, 1)
    crb.write(0x40, 4, 1)
    for at, byte in enumerate(SENT):
        crb.write(0x80 + at, 1, byte)
    os.kill(swtpm_process.process.pid, signal.SIGSTOP)  # it takes the command, and does not answer it
    threading.Timer(0.1, swtpm_process.process.kill).start()
    crb.write(0x4C, 4, 1)
    assert (crb.read(0x4C, 4), crb.read(0x44, 4) & 1) == (0, 1)
    assert crb.failure is not None
    assert "connection" in crb.failure
