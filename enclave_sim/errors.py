"""Errors that a caller must expect. Each says what was wrong, where, and what would be right.

A guest fault is not an error: it is an event of the run.
"""


class EnclaveError(Exception):
    """Base class of all errors raised by `enclave_sim`. The text is one line for people."""


class KernelDied(EnclaveError):  # noqa: N818
    """The kernel stopped without annihilating itself, or reported something impossible to its devices.

    Unless a memory fault was an input, this is a bug in the firmware. A guest cannot cause it.
    """


class HostLimitReached(EnclaveError):  # noqa: N818
    """A `HostLimit` expired. This is not a result of the run, which can continue from there."""


class ConfigurationError(EnclaveError):
    """The requested run is impossible: an option out of range, an unknown payload, a missing file."""


class OptionError(ConfigurationError):
    """The value of an option is impossible.

    Args:
        option: The option's name in Python. The command line shows its own name for it instead.
        problem: The value, and what would be right: `is 0; it must be 1 to 16777215`.
    """

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"{option} {problem}")
        self.option, self.problem = option, problem


def installing(extra: str) -> str:
    """Return instructions to install an extra of this package, which is not on PyPI: from a clone or a wheel."""
    return f"pip install '.[{extra}]' in a clone, or 'WHEEL[{extra}]'"
