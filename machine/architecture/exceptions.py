"""Interrupt vectors by their mnemonics (SDM volume 3, table 6-1), and a fault on its way to delivery."""

DE, DB, NMI, BP, OF, BR, UD, NM, DF = range(9)
TS, NP, SS, GP, PF = range(10, 15)
MF, AC, MC, XM = range(16, 20)

WITH_ERROR_CODE = frozenset([DF, TS, NP, SS, GP, PF, AC])
CONTRIBUTORY = frozenset([DE, TS, NP, SS, GP])


class Fault(Exception):  # noqa: N818 - the processor's, not Python's
    """An instruction or a delivery cannot go on: this exception is raised by the processor instead."""

    def __init__(self, vector: int, error_code: int | None = None, address: int | None = None) -> None:
        self.vector, self.error_code, self.address = vector, error_code, address


class PageFault(Fault):
    """An access of the processor itself was refused; `error_code` as #PF has it."""

    def __init__(self, error_code: int, address: int) -> None:
        super().__init__(PF, error_code, address)
