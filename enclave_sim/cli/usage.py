"""One-line errors for the command line: what is wrong, where, and what would be right."""

from collections.abc import Iterable

import click

from enclave_sim.recording.text import one_line
from enclave_sim.similar import did_you_mean


def explain(error: click.ClickException) -> str:
    """Return our message for an error of the parser."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return one_line(error.format_message())
    words = one_line(_words(error, context))
    return f"{words}{' ' if words.endswith('?') else '; '}see {context.command_path} --help"


def _near_option(name: str, params: Iterable[click.Parameter]) -> str:
    """Suggest an option. Dashes do not make names alike."""
    names = {name.lstrip("-"): name for one in params for name in one.opts if name.startswith("--")}
    near = did_you_mean(name.lstrip("-"), names)
    return near and f"did you mean --{near.removeprefix('did you mean ')}"


def _words(error: click.ClickException, context: click.Context) -> str:
    command = context.command
    match error:
        case click.NoSuchOption(option_name=name):
            return f"there is no option {name}; {_near_option(name, command.get_params(context))}".rstrip("; ")
        case click.NoSuchCommand(command_name=name) if isinstance(command, click.Group):
            names = command.list_commands(context)
            near = did_you_mean(name, names) or (_of_object(name) if context.parent is None else "")
            return f"there is no command {name!r}; {near}there are {', '.join(names)}"
        case click.MissingParameter(param=click.Parameter() as missing):
            return f"{_named(missing, context)} is missing: {_help(missing)}"
        case click.BadParameter(param=click.Parameter() as bad):
            return f"{bad.opts[0] if isinstance(bad, click.Option) else _named(bad, context)}: {error.message}"
        case click.BadOptionUsage(option_name=name):
            found = next(one for one in command.get_params(context) if name in one.opts)
            if isinstance(found, click.Option) and found.is_flag:
                return f"{name} takes no value"
            needed = "a value" if found.nargs == 1 else f"{found.nargs} values"
            return f"{name} needs {needed}: {_named(found, context)}: {_help(found)}"
    return error.message


def _of_object(name: str) -> str:
    """Return the question for a payload, a recording or an image that was given without a command."""
    import payloads  # noqa: PLC0415 - only a mistake needs it
    from enclave_sim.files.reading import read_start  # noqa: PLC0415
    from enclave_sim.recording.format import BEGINNING  # noqa: PLC0415

    start = read_start(name, len(BEGINNING))
    if name in payloads.names() or start.startswith(b"\0asm"):
        return f"did you mean run {name}? "
    if name in payloads.flat_names():
        return f"did you mean run {name} --engine native? "
    if start == BEGINNING:
        return f"did you mean replay {name}? "
    if start.startswith(b"\x7fELF"):
        return f"did you mean boot {name}? "
    near = did_you_mean(name, payloads.names())
    return near.replace("did you mean ", "did you mean run ")


def _named(parameter: click.Parameter, context: click.Context) -> str:
    """Return `--nonce HEX` or `MODULE`."""
    words = parameter.make_metavar(context)
    return f"{parameter.opts[0]} {words}" if isinstance(parameter, click.Option) else words


def _help(parameter: click.Parameter) -> str:
    return (getattr(parameter, "help", None) or "").rstrip(".")
