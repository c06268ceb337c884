"""`enclave-sim provenance`: its text, its JSON, and a line for each mistake."""

import json
import re
from pathlib import Path

import pytest

from enclave_sim.cli.schema import Output
from tests.enclave_sim.cli.command import assert_refused, command
from tests.enclave_sim.cli.schemas import validator
from tests.enclave_sim.forging import forge
from tests.machine.boot import images

AT = ("--at", "1389152ns")


def test_it_prints_the_tree_and_the_uses() -> None:
    value, first, *_ = command("provenance", "counter", "--of", "esi", *AT).output.splitlines()
    assert value == "esi = 0x1 at 1389152 ns"
    assert first == "  1389137 ns, host_call_entry+0x5 (interrupts.S:65): mov rsi, rdi"
    *_, last = command("provenance", "counter", "--of", "rsi", "--forwards", *AT).output.splitlines()
    assert "overwritten" in last


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--forwards"]])
def test_its_json_is_as_its_schema_says(more: list[str]) -> None:
    found = json.loads(command("provenance", "counter", "--of", "status", "--bytes", "4", *AT, *more, "--json").output)
    validator(Output.PROVENANCE).validate(found)
    assert bool(found["uses"]) == bool(more)
    assert (found["value"] is None) == bool(more)


def test_a_region_is_its_first_bytes() -> None:
    by_name, by_address = (command("provenance", "counter", "--of", of, *AT).output for of in ("heap", "0xc00000"))
    assert by_name.startswith("0xc00000 = ")
    assert by_name == by_address


def test_a_search_that_ends_says_how_far_to_ask_and_that_is_far_enough() -> None:
    found = command("provenance", "counter", "--of", "xmm0", *AT, "--within", "10").output
    assert found.endswith("nothing wrote xmm0 in the last 10 steps; ask within 40 to look further\n")
    assert (
        "in the last 40 steps; ask within 160"
        in command("provenance", "counter", "--of", "xmm0", *AT, "--within", "40").output
    )
    uses = command("provenance", "counter", "--of", "xmm3", *AT, "--within", "10", "--forwards").output
    assert "not looked further than 10 steps; ask again there to go on" in uses


def test_it_explains_values_of_a_kernel(tmp_path: Path) -> None:
    image = tmp_path / "kernel.elf"
    image.write_bytes(images.kernel1(code=images.CODE))
    text = command("provenance", str(image), "--of", "al", "--depth", "1").output
    assert text.splitlines()[1].endswith("mov al, 0x2a")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["counter"], "--of"),
        (
            ["counter", "--of", "eaks"],
            "'eaks' is not a register, a symbol of the kernel, a region or an address; did you",
        ),
        (["counter", "--of", "haep"], "did you mean heap? regions are text, rodata, "),
        (["counter", "--of", "rxa"], "did you mean "),
        (["counter", "--of", "rax", "--bytes", "2"], "--bytes is for memory; rax is a register"),
        (["counter", "--of", "0xfffffffff000", *AT], "is not mapped"),
        (["counter", "--of", "0xfef00000", *AT], "are not in RAM"),
        (["counter", "--of", "0x128fff", "--bytes", "2", *AT], "are in several pages"),
        (["counter", "--of", "rax", "--at", "1h"], "the run ends"),
        (["counter", "--of", "rax", "--append", "x"], "--append is for a kernel image; this is payloads"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str) -> None:
    assert_refused(command("provenance", *arguments), message)


@pytest.mark.slow
@pytest.mark.parametrize("asking", [("provenance", "--of", "esi", *AT), ("lifetimes", "--of", "answer:0")])
def test_a_recording_answers_as_its_run(asking: tuple[str, ...], tmp_path: Path) -> None:
    recording = tmp_path / "counter.jsonl"
    assert command("run", "counter", "--record", recording).code == 0
    first, *rest = asking
    assert command(first, recording, *rest).output == command(first, "counter", *rest).output


def test_a_recording_of_another_run_is_refused_in_one_line(tmp_path: Path) -> None:
    recording, forged = tmp_path / "counter.jsonl", tmp_path / "forged.jsonl"
    assert command("run", "counter", "--record", recording).code == 0
    forge(recording, lambda lines: lines[40].update(at_ns=lines[40]["at_ns"] + 1))
    refused = {
        "NOT AS RECORDED from event 39 on; enclave-sim replay shows": (forged,),
        "is a recording, which must be named alone": (recording, "counter"),
        "--cycles is for payloads; this is a recording": (recording, "--cycles", "2"),
        "--payload is for a recording; this is payloads": ("counter", "--payload", "x.wasm"),
    }
    for message, words in refused.items():
        assert_refused(command("provenance", *words, "--of", "rax"), message)


def test_the_recording_of_a_kernel_takes_its_image(tmp_path: Path) -> None:
    image, recording = tmp_path / "kernel.elf", tmp_path / "kernel.jsonl"
    image.write_bytes(images.kernel1(code=images.CODE))
    assert command("boot", image, "--record", recording, "--timeout-ns", "1ms").error == ""
    asked = command("provenance", recording, "--payload", image, "--of", "al", "--depth", "1")
    assert asked.output.splitlines()[1].endswith("mov al, 0x2a")
    assert_refused(command("provenance", recording, "--of", "al"), "does not embed the kernel")
    assert command("gdb", recording, "--payload", image, "--script").output.startswith(f"file {image}")


@pytest.mark.slow
def test_the_example_of_the_help_is_about_the_first_signal() -> None:
    (example,) = re.findall(r"Example: enclave-sim (.*)", command("provenance", "--help").output)
    ended = command(*example.split())
    assert ended.code == 0
    assert ended.output.startswith(f"esi = 0x1 at {example.split()[-1].removesuffix('ns')} ns\n")
    assert "the guest: _start" in ended.output
