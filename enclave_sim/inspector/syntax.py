"""The syntaxes of x86 assembly, which the command line offers without loading a machine."""

from enum import Enum


class Syntax(Enum):
    """Syntaxes of x86 assembly."""

    INTEL = "intel"
    """As in the manuals: destination first, plain register names."""
    ATT = "att"
    """As in the kernel's sources, and in gdb: destination last, `%` before registers, `$` before constants."""

    @property
    def other(self) -> "Syntax":
        """The other one."""
        return Syntax.ATT if self is Syntax.INTEL else Syntax.INTEL
