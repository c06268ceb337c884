"""The output of commands, checked by their published schemas."""

import json
from pathlib import Path
from typing import Any

import pytest

from enclave_sim.cli.schema import Output
from tests.enclave_sim.cli.command import command

jsonschema = pytest.importorskip("jsonschema")


def validator(output: Output) -> Any:
    schema = json.loads(command("schema", output.value).output)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def check(output: Output, *arguments: str | Path) -> Any:
    """Run a command; its output must be one object that matches the schema."""
    document = json.loads(command(*arguments, "--json").output)
    validator(output).validate(document)
    return document
