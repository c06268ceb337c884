"""A limit in seconds of the host is never a result of a run, however it is run."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from enclave_sim import Enclave, Template
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.enclave.host_limit import HostLimit
from enclave_sim.enclave.kernel.bare_kernel import BareKernel
from enclave_sim.errors import HostLimitReached
from enclave_sim.guarantees import observe
from machine import host_limit
from tests.enclave_sim.cli.command import assert_refused, command
from tests.enclave_sim.cli.runs.boot_command import boot
from tests.machine.boot import images

SOON = 1e-9


@pytest.fixture
def _looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's clock advances one second each time it is read."""
    monkeypatch.setattr(host_limit, "monotonic", count(1).__next__)


@pytest.mark.usefixtures("_looks")
@pytest.mark.parametrize("payload", ["counter", "spinner"])
def test_a_run_that_was_left_again_and_again_has_the_same_digest(payload: str) -> None:
    enclave, left, result = Enclave(payload), 0, None
    whole = Enclave(payload).run(3_000_000)
    while result is None:
        try:
            with HostLimit(3):
                result = enclave.run(3_000_000)
        except HostLimitReached:
            left += 1
    assert left > 1
    assert result == whole


def test_nobody_gets_a_result() -> None:
    template = Template("counter")
    acts: list[Callable[[], object]] = [
        Enclave("counter").run,
        Enclave("counter").boot,
        Enclave("counter").advance,
        template.start().run,
        lambda: observe("counter"),
        lambda: Template("beacon"),
        BareKernel("loop", images.kernel1(code=b"\xeb\xfe")).advance,
    ]
    for act in acts:
        with HostLimit(SOON), pytest.raises(HostLimitReached, match=r"RIP 0x[0-9a-f]+; the run is not over"):
            act()
    assert template.start().run() == Enclave("counter").run()


def test_the_command_line_ends_without_result_and_keeps_what_was_recorded(tmp_path: Path) -> None:
    recording = tmp_path / "run.jsonl"
    assert command("run", "beacon", "--record", recording).code == ExitCode.OK
    other = tmp_path / "other.jsonl"
    for words in (
        ("run", "spinner", "--record", other),
        ("verify", "counter"),
        ("replay", recording),
    ):
        ended = command(*words, "--host-limit", "0.000001ms")
        assert (ended.code, ended.output) == (ExitCode.HOST_LIMIT, ""), words
    assert "until the run was interrupted" in command("replay", other).output
    assert ExitCode.HOST_LIMIT % 2 == 0


def test_boot_ends_with_a_line_after_a_note_on_the_recording(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    image, recording = tmp_path / "kernel", tmp_path / "run.jsonl"
    image.write_bytes(images.kernel1(code=b"\xeb\xfe"))
    code = boot([str(image), "--record", str(recording), "--host-limit", "0.000001ms"])
    assert code == ExitCode.HOST_LIMIT
    output, error = capfd.readouterr()
    note, last = error.splitlines()
    assert (output, note[:6], last[:9]) == ("", "note: ", "stopped: ")
    assert str(recording) in note
    assert recording.exists()


@pytest.mark.parametrize("text", ["1s", "1.5 s", "2min", "1h", "1500ms"])
def test_a_limit_that_is_not_reached_changes_nothing(text: str) -> None:
    assert command("run", "beacon", "--quiet", "--host-limit", text) == command("run", "beacon", "--quiet")


@pytest.mark.parametrize("text", ["10", "0s", "-1s", "s", "1 year"])
def test_a_limit_has_a_unit_and_is_more_than_0(text: str) -> None:
    assert_refused(command("run", "beacon", f"--host-limit={text}"), "--host-limit", "such as 10s")
    assert boot(["kernel", f"--host-limit={text}"]) == ExitCode.USAGE
