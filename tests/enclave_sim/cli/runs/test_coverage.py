"""`enclave-sim coverage`: its table, its files, its JSON, and a line for each mistake."""

import json
from pathlib import Path

import pytest

from enclave_sim.cli.schema import Output
from tests import c_kernel
from tests.enclave_sim.cli.command import assert_refused, command
from tests.enclave_sim.cli.schemas import validator
from tests.machine.boot import images


@pytest.mark.slow
def test_it_prints_a_table_and_writes_files(tmp_path: Path) -> None:
    tracefile, page = tmp_path / "beacon.info", tmp_path / "beacon.html"
    said = command("coverage", "beacon", "-o", str(tracefile), "--html", str(page)).output.splitlines()
    assert said[0].startswith(f"wrote {tracefile}: ")
    assert said[1].startswith(f"wrote {page}: ")
    assert said[2].split() == ["file", "lines", "branches"]
    assert any(line.startswith("src/kernel.c") and "5 of 5, 100.0 %" in line for line in said)
    assert said[-1].startswith("lines ")
    assert tracefile.read_text().startswith("TN:\nSF:")
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_its_json_is_as_its_schema_says(tmp_path: Path) -> None:
    tracefile = tmp_path / "beacon.info"
    found = json.loads(command("coverage", "beacon", "--json", "-o", str(tracefile)).output)
    validator(Output.COVERAGE).validate(found)
    assert found["kernel"] == "aether.elf"
    assert found["lines"]["covered"] == sum(one["lines"]["covered"] for one in found["files"])
    assert tracefile.exists()


def test_a_kernel_of_ones_own_is_covered(tmp_path: Path) -> None:
    image = c_kernel.compiled(tmp_path)
    said = command("coverage", str(image), "--limit-ns", "1ms").output.splitlines()
    assert said[1].startswith("kernel.c")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("kernel.elf", "--limit-ns is missing: a kernel may run forever"),
        ("kernel.elf --limit-ns 1ms", "the kernel has no line table: compile it with -g"),
        ("kernel.elf --cycles 2 --limit-ns 1ms", "--cycles is for payloads; this is a kernel image"),
        ("nothing", "no payload 'nothing': neither a file nor built in"),
        ("beacon -o missing/x.info", "cannot write missing/x.info: there is no directory missing"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("kernel.elf").write_bytes(images.kernel1(code=b"\xf4"))
    assert_refused(command("coverage", *arguments.split()), message)


def test_a_recording_is_covered_as_its_run_was(tmp_path: Path) -> None:
    recording = tmp_path / "beacon.jsonl"
    command("run", "beacon", "--record", recording)
    assert command("coverage", recording).output == command("coverage", "beacon").output
