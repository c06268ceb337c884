"""Options of commands that take different things to run: an option that is for another thing is refused."""

from collections.abc import Mapping

import typer

from enclave_sim.errors import ConfigurationError

PAYLOADS, RECORDING, KERNEL = "payloads", "a recording", "a kernel image"
KERNELS = dict.fromkeys(("append", "module", "ram", "fw_cfg"), (KERNEL,))
"""Options by their parameter's name, and what they are for."""


def check(context: typer.Context, kind: str, own: Mapping[str, tuple[str, ...]]) -> None:
    """Raise ConfigurationError if an option was given that is not for this `kind` of thing.

    `own` says of options what they are for; those that are not in it are for payloads.
    """
    for name in context.params:
        source = context.get_parameter_source(name)
        kinds = own.get(name, (PAYLOADS,))
        if source is not None and source.name == "COMMANDLINE" and kind not in kinds:
            raise ConfigurationError(f"--{name.replace('_', '-')} is for {' and '.join(kinds)}; this is {kind}")
