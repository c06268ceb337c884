"""Commands built on click, with help in sections and our own error messages.

Each command is a function that returns its exit code; None is 0.
"""

from collections.abc import Callable
from inspect import cleandoc
from typing import TYPE_CHECKING, Any, TypeVar

import click

from enclave_sim.errors import ConfigurationError, OptionError

if TYPE_CHECKING:
    from click.parser import _OptionParser

MACHINE, POLICY, KERNEL, OUTPUT = "Machine and time", "Trust and profile", "Your own kernel", "Output"
"""Headings of options in the help."""
EXIT_CODES = """\b
Exit codes
  0  done
  2  the command cannot be carried out; one line says why
 70  a defect of the emulator or its firmware"""
"""The end of the help of a command without exit codes of its own."""
_F = TypeVar("_F", bound=Callable[..., Any])


class Option(click.Option):
    """An option, and its heading in the help."""

    def __init__(self, *names: Any, heading: str = "Options", **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.heading = heading


class _Parsing(click.Command):
    """Errors of its parser name the command."""

    def get_help_option_names(self, _ctx: click.Context) -> list[str]:
        """Return the names, which no context changes: click keeps the option that it makes for the first one."""
        return ["-h", "--help"]

    def make_parser(self, ctx: click.Context) -> "_OptionParser":
        """Make the parser, which finds short options at once.

        click looks for each option among the long ones first. If it is missing there, click imports difflib and
        compares it with all of them for a message that is never shown: 3 ms for each `-q`.
        """
        parser = super().make_parser(ctx)
        parser._long_opt |= parser._short_opt
        return parser

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise


class Command(_Parsing):
    """A command that lists its options under headings, and names the first surplus argument."""

    def __init__(self, name: str | None, *, help: str = "", epilog: str = EXIT_CODES, **settings: Any) -> None:
        paragraphs = cleandoc(help).split("\n\n")
        copied = (f"\b\n{one}" if one.startswith("Example: ") else one for one in paragraphs)  # \b keeps its lines
        super().__init__(name, help="\n\n".join(copied), epilog=epilog, **settings)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises ConfigurationError, with the option as it was typed, for OptionError."""
        try:
            return super().invoke(ctx)
        except OptionError as error:
            named = (one.opts[0] for one in self.params if isinstance(one, click.Option) and one.name == error.option)
            raise ConfigurationError(f"{next(named, error.option)} {error.problem}") from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections in the order in which their first options were declared, "Options" last."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for one in self.get_params(ctx):
            if isinstance(one, click.Option) and (record := one.get_help_record(ctx)) is not None:
                sections.setdefault(one.heading if isinstance(one, Option) else "Options", []).append(record)
        for heading in sorted(sections, key="Options".__eq__):
            with formatter.section(heading):
                formatter.write_dl(sections[heading])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. Raises click.UsageError for surplus ones."""
        ctx.allow_extra_args = True
        rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            raise click.UsageError(f"argument {rest[0]!r} is one too many", ctx)
        return rest


class Group(_Parsing, click.Group):
    """Several commands, listed with the first sentence of their help."""

    command_class = Command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands."""
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(name, one.get_short_help_str(1000)) for name, one in found if one is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def command(name: str | None = None, **settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Return a decorator that makes a function a command. Its docstring is the help."""
    return click.command(name, cls=Command, **settings)


def option(*names: str, **settings: Any) -> Callable[[_F], _F]:
    """Return a decorator that adds an option; see `Option` for `heading`, click for the rest."""
    return click.option(*names, cls=Option, **settings)
