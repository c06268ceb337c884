"""`enclave-sim schema`: the output of `--json` matches the published schemas, and those match the types."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import payloads
from enclave_sim.cli.schema import Output, schema_of
from enclave_sim.payload.signature import strip
from tests.enclave_sim.cli.command import command
from tests.enclave_sim.cli.schemas import check, validator

PUBLISHED = Path(__file__).parents[3] / "docs" / "schemas"
NONCE = "00" * 32


@pytest.mark.parametrize("output", Output)
def test_the_published_schema_is_that_of_the_types(output: Output) -> None:
    published = json.loads((PUBLISHED / f"{output.value}.schema.json").read_text())
    assert published == schema_of(output), "python -m tests.documents"


@pytest.mark.parametrize("output", Output)
def test_every_object_of_a_schema_is_described_and_closed(output: Output) -> None:
    for name, kind in schema_of(output)["$defs"].items():
        assert kind["description"], name
        assert kind["additionalProperties"] is False
        assert set(kind["required"]) == set(kind["properties"]), name


@pytest.mark.parametrize(
    ("outcome", "arguments"),
    [
        ("COMPLETED", ["counter", "--cycles", "2"]),
        ("COMPLETED", ["counter", "beacon", "--cycles", "2"]),
        ("GUEST_FAULT", ["trespasser"]),
        ("LIMIT", ["beacon", "--limit-ns", "1000"]),
        ("COMPLETED", ["beacon", "--attestation", "off"]),
    ],
)
def test_what_run_prints_is_as_its_schema_says(outcome: str, arguments: list[str]) -> None:
    assert check(Output.RUN, "run", *arguments)["outcome"] == outcome


def test_so_is_a_run_with_residue_and_one_that_is_rejected(tmp_path: Path) -> None:
    script, module = tmp_path / "upset.toml", tmp_path / "unsigned.wasm"
    script.write_text('[[input]]\nkind = "memory_fault"\nat_ns = 400_000\naddress = 0x30_0000\nbits = 1\n')
    module.write_bytes(strip(payloads.read("beacon")))
    (found,) = check(Output.RUN, "run", "counter", "--inputs", script)["residue"]
    assert found == {"region": "unmapped", "base": 0x30_0000, "bytes": "01"}
    assert check(Output.RUN, "run", module)["outcome"] == "PAYLOAD_REJECTED"


@pytest.mark.slow
def test_what_verify_prints_is_as_its_schema_says(tmp_path: Path) -> None:
    script = tmp_path / "upset.toml"
    script.write_text('[[input]]\nkind = "memory_fault"\nat_ns = 400_000\naddress = 0x30_0000\nbits = 1\n')
    assert check(Output.VERIFY, "verify", "beacon", "--runs", "2")["holds"]
    assert not check(Output.VERIFY, "verify", "beacon", "--runs", "2", "--inputs", script)["holds"]


def test_what_verify_evidence_prints_is_as_its_schema_says(tmp_path: Path) -> None:
    evidence, values = tmp_path / "beacon.eat", tmp_path / "beacon.json"
    command("attest", "beacon", "--nonce", NONCE, "-o", evidence)
    command("reference-values", "beacon", "-o", values)
    arguments: list[str | Path] = ["verify-evidence", evidence, "--reference", values, "--nonce"]
    assert check(Output.VERIFY_EVIDENCE, *arguments, NONCE)["accepted"]
    assert not check(Output.VERIFY_EVIDENCE, *arguments, "11" * 32)["accepted"]


def test_what_the_commands_about_labs_print_is_as_their_schemas_say(tmp_path: Path) -> None:
    directory = tmp_path / "mine"
    assert command("lab", "start", "breakout", directory).code == 0
    assert command("lab", "submit", "breakout", directory).code == 0
    assert check(Output.LAB_LIST, "lab", "list")["labs"]
    assert check(Output.LAB_CHECK, "lab", "check", "breakout", directory)["points"] == 0
    assert check(Output.LAB_CHECK, "lab", "submit", "breakout", directory)["points"] == 0
    assert check(Output.LAB_VERIFY, "lab", "verify", directory / "receipt.json")["problems"] == []
    grades = json.loads(command("lab", "grade", directory, tmp_path, "--format", "json").output)
    validator(Output.LAB_GRADE).validate(grades)
    assert [one["problem"] == "" for one in grades["grades"]] == [True, False]


def broken(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The document without each field, and with an extra one."""
    yield document | {"another": 1}
    for name in document:
        yield {key: value for key, value in document.items() if key != name}


@pytest.mark.slow
def test_a_document_that_lacks_a_field_or_has_another_is_not_as_the_schema_says() -> None:
    document = json.loads(command("run", "beacon", "--json").output)
    for wrong in broken(document):
        assert not validator(Output.RUN).is_valid(wrong)
