"""The errors a caller can meet. Each says what was wrong, where, and what would be right.

A fault of the guest is never one of these: it is an event of the run.
"""


class EnclaveError(Exception):
    """Base of every error raised by `enclave_sim`; its text is one line for a person to read."""


class KernelDied(EnclaveError):  # noqa: N818
    """The kernel stopped without annihilating itself, or told its devices what no kernel tells them.

    Unless a memory fault was given as an input, that is a defect of the firmware, and never the doing of a guest.
    """


class HostLimitReached(EnclaveError):  # noqa: N818
    """The time of the host that `HostLimit` gave has run out. It is no result: the run can go on from there."""


class ConfigurationError(EnclaveError):
    """A run was asked for that cannot be had: an option out of range, an unknown payload, a missing file."""
