"""Errors of the machine: of the user, and of the emulator itself."""


class MachineError(Exception):
    """The caller asked for something impossible: a bad image, an address outside RAM, a bad option."""


class EmulatorFault(Exception):  # noqa: N818 - not an error of the caller
    """The emulator broke one of its own rules. The guest cannot cause this. Do not catch it and continue."""


class UnicornStopped(EmulatorFault):
    """Unicorn stopped with an error. Unless memory of the host is damaged, it never should."""
