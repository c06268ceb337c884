"""Interrupt vectors by their mnemonics (SDM volume 3, table 6-1), and faults before their delivery."""

DE, DB, NMI, BP, OF, BR, UD, NM, DF = range(9)
TS, NP, SS, GP, PF = range(10, 15)
MF, AC, MC, XM = range(16, 20)

WITH_ERROR_CODE = frozenset([DF, TS, NP, SS, GP, PF, AC])
CONTRIBUTORY = frozenset([DE, TS, NP, SS, GP])


class Fault(Exception):  # noqa: N818 - the processor's, not Python's
    """A processor exception, raised when an instruction or a delivery cannot continue.

    Args:
        vector: 0 to 31.
        error_code: None for a vector without one.
        address: The linear address for CR2; None unless the exception is #PF.
    """

    def __init__(self, vector: int, error_code: int | None = None, address: int | None = None) -> None:
        self.vector, self.error_code, self.address = vector, error_code, address


class PageFault(Fault):
    """#PF, with its error code and the faulting linear address."""

    def __init__(self, error_code: int, address: int) -> None:
        super().__init__(PF, error_code, address)
