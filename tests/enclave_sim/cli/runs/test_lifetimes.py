"""`enclave-sim lifetimes`: its table, its JSON, its picture, and a line for each mistake."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from enclave_sim.cli.schema import Output
from tests.enclave_sim.cli.command import assert_refused, command
from tests.enclave_sim.cli.schemas import validator
from tests.machine.boot import images

NONCE = ("lifetimes", "beacon", "--of", "nonce", "--until", "976000ns")


def test_it_prints_a_table() -> None:
    first, titles, *rows = command(*NONCE).output.splitlines()
    assert first.startswith("nonce: 32 bytes, from ")
    assert titles.split()[0] == "place"
    assert rows[0].startswith("attestation_nonce  copy")
    assert rows[0].endswith("still there")


def test_its_json_is_as_its_schema_says() -> None:
    found = json.loads(command(*NONCE, "--json").output)
    validator(Output.LIFETIMES).validate(found)
    assert found["size"] == 32
    assert {one["kind"] for one in found["lifetimes"]} == {"copy"}
    assert any(one["where"] == "kernel_stack" for one in found["rows"])


def test_its_picture_has_a_lane_for_each_place(tmp_path: Path) -> None:
    path = tmp_path / "nonce.svg"
    printed = command(*NONCE, "--svg", str(path)).output
    picture = ElementTree.fromstring(path.read_text())
    texts = {one.text for one in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert {"Phases", "kernel_stack (copy)", "rax (copy)"} <= texts
    assert "\nnonce: 32 bytes" in printed
    assert "href" not in path.read_text()


def test_it_follows_bytes_of_a_kernel(tmp_path: Path) -> None:
    image = tmp_path / "kernel.elf"
    image.write_bytes(images.kernel1(code=images.CODE))
    text = command("lifetimes", str(image), "--of", "eax", "--until", "100ns").output
    assert text.splitlines()[0].startswith("eax: 4 bytes, from 0 ns")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["counter"], "--of"),
        (["counter", "--of", "secret"], "'secret' is not a register, a symbol of the kernel, a region or an address"),
        (["counter", "--of", "data"], "payload 0 has no data segment"),
        (["counter", "--of", "nonce:7"], "there is no nonce 7 in this run"),
        (["counter", "--of", "nonce", "--until", "1ns"], "the secret is there from"),
        (["counter", "--of", "rax", "--at", "1h"], "the run ends"),
        (["counter", "--of", "rax", "--append", "x"], "--append is for a kernel image; this is payloads"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str) -> None:
    assert_refused(command("lifetimes", *arguments), message)


@pytest.mark.slow
def test_the_example_of_the_help_runs() -> None:
    (example,) = re.findall(r"Example: enclave-sim (.*)", command("lifetimes", "--help").output)
    assert command(*example.split()).code == 0
