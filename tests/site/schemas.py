"""The reference page of the JSON Schemas, one table for each type."""

from typing import Any

from enclave_sim.cli.schema import Output, schema_of, title_of
from tests.site.markdown import escaped, table


def page() -> str:
    """Return the page."""
    lines = [
        "# JSON Schemas",
        "",
        "Every field of what commands print with `--json`. [JSON output](../json-output.md) has the schemas as "
        "files, which `enclave-sim schema` prints, too.",
        "",
    ]
    for output in Output:
        schema = schema_of(output)
        lines += [
            f"## {title_of(output).removeprefix('enclave-sim ')}",
            "",
            f"An object of type `{_name(schema['$ref'])}`.",
            "",
        ]
        for name, definition in schema["$defs"].items():
            required = set(definition.get("required", ()))
            rows = (
                (
                    f"`{field}`",
                    _type(described) + ("" if field in required else ", optional"),
                    escaped(described.get("description", "")),
                )
                for field, described in definition["properties"].items()
            )
            lines += [f"### {name}", "", table(("Field", "Type", "Meaning"), rows)]
    return "\n".join(lines)


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return f"`{_name(schema['$ref'])}`"
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"array of {_type(schema['items'])}" if isinstance(schema.get("items"), dict) else "array"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    return str(schema.get("type", "any value"))
