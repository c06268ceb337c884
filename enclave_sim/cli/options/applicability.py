"""A check for commands that run payloads, recordings or kernels: options that do not apply are refused."""

from collections.abc import Mapping

import click

from enclave_sim.errors import ConfigurationError

PAYLOADS, RECORDING, KERNEL = "payloads", "a recording", "a kernel image"
KERNELS = dict.fromkeys(("append", "module", "ram", "fw_cfg"), (KERNEL,))
"""Parameter names, with the kinds of subjects that they apply to."""


def check(kind: str, own: Mapping[str, tuple[str, ...]]) -> None:
    """Check that all options given to the current command apply.

    Args:
        kind: The kind of subject that is run.
        own: The kinds that each option applies to, by parameter name; options not listed apply to payloads.

    Raises:
        ConfigurationError: An option was given that does not apply to this kind.
    """
    context = click.get_current_context()
    for name in context.params:
        kinds = own.get(name, (PAYLOADS,))
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE and kind not in kinds:
            raise ConfigurationError(f"--{name.replace('_', '-')} is for {' and '.join(kinds)}; this is {kind}")
