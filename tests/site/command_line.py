"""The reference page of the command line, made from click's commands."""

from collections.abc import Iterator

import click

from enclave_sim.cli.app import NAME, app
from tests.site.markdown import escaped

_ARGUMENTS = "Arguments"


def page() -> str:
    """Return the page: each command with its help, its arguments and its options."""
    return "\n".join(
        [
            "# Command line",
            "",
            "What `enclave-sim COMMAND --help` prints, for every command. [Exit codes](exit-codes.md) are on a page of "
            "their own.",
            "",
            *_command(app, click.Context(app, info_name=NAME, **app.context_settings), 2),
        ]
    )


def commands(group: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """Yield the commands of a group in the order of its help, each with its context."""
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            assert found is not None, name
            yield found, click.Context(found, info_name=name, parent=context)


def _command(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    if context.parent is not None:
        yield from (f"{'#' * level} {context.command_path}", "")
    yield from ("```text", " ".join(command.get_usage(context).removeprefix("Usage: ").split()), "```", "")
    for paragraph in (command.help or "").split("\n\n"):
        text = " ".join(paragraph.split())
        if text.startswith("Example: "):
            yield from ("```sh", text.removeprefix("Example: "), "```", "")
        else:
            yield from (escaped(text), "")
    yield from (f"```{{program}} {context.command_path}", "```", "")
    for heading, records in _sections(command, context).items():
        yield from (f"**{heading}**", "")
        if heading == _ARGUMENTS:
            for name, text in records:
                yield from (f"`{name}`", f": {escaped(text)}", "")
        else:
            for name, text in records:
                yield from (f"```{{option}} {name}", "", escaped(text), "```", "")
    for each, below in commands(command, context):
        yield from _command(each, below, level + (context.parent is not None))


def _sections(command: click.Command, context: click.Context) -> dict[str, list[tuple[str, str]]]:
    """Return names and meanings of all parameters under their headings, in the order of the help."""
    found: dict[str, list[tuple[str, str]]] = {_ARGUMENTS: []}
    for one in command.get_params(context):
        if (record := one.get_help_record(context)) is not None:
            heading = _ARGUMENTS if isinstance(one, click.Argument) else getattr(one, "heading", "Options")
            found.setdefault(heading, []).append(record)
    return {heading: found[heading] for heading in sorted(found, key="Options".__eq__) if found[heading]}
