"""Errors of the machine: user errors and emulator bugs."""


class MachineError(Exception):
    """The caller asked for something impossible: a bad image, an address outside RAM, a bad option."""


class EmulatorFault(Exception):  # noqa: N818 - not an error of the caller
    """The emulator violated one of its own rules. The guest cannot cause this. Do not catch it and continue."""


class UnicornStopped(EmulatorFault):
    """Unicorn stopped with an error. This never happens unless host memory is corrupt."""
