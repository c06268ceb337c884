"""The errors of the machine: what a user did wrong, and what the emulator did wrong."""


class MachineError(Exception):
    """The machine was asked for something it cannot do: a bad image, an address outside RAM, a bad option."""


class EmulatorFault(Exception):  # noqa: N818 - not an error of the caller
    """The emulator itself broke a rule. Never the guest's doing, never to be caught and carried on from."""


class UnicornStopped(EmulatorFault):
    """Unicorn met a state in which it does not go on: which, short of damaged memory, it never should."""
