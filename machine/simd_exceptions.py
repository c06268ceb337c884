"""SIMD floating-point exceptions (SDM volume 1, 11.5), which Unicorn neither flags nor raises.

While MXCSR leaves one of them unmasked the machine goes instruction by instruction, and asks here before each. Then
MXCSR's flags are right, too; otherwise Unicorn executes alone and never sets them.
"""

from machine.control_registers import CR0_EM, CR0_TS, CR4_OSFXSR, CR4_OSXMMEXCPT
from machine.cpu import Cpu
from machine.exceptions import UD, XM, Fault
from machine.state import Stateful

_FLAGS, _MASKS = 0x3F, 7
_BEFORE_COMPUTATION = 0x07  # invalid, denormal, divide by zero


class SimdExceptions(Stateful):
    """Looks at the SSE instruction at RIP before it is executed."""

    def __init__(self, cpu: Cpu) -> None:
        self._cpu = cpu
        self._unmasked = False

    def follow_mxcsr(self) -> None:
        """MXCSR may have been loaded."""
        self._unmasked = ~self._cpu.read_register("MXCSR") >> _MASKS & _FLAGS != 0

    @property
    def wanted(self) -> bool:
        """Whether an exception is unmasked and SSE is on."""
        if not self._unmasked:
            return False
        cr = self._cpu.registers.cr
        return bool(cr[4] & CR4_OSFXSR) and not cr[0] & (CR0_EM | CR0_TS)

    def check(self) -> None:
        """Set MXCSR's flags as the instruction at RIP does. Raise Fault if it faults (#XM or #UD)."""
        from machine.simd_instructions import exceptions  # noqa: PLC0415 - fractions take long to import

        cpu = self._cpu
        mxcsr = cpu.read_register("MXCSR")
        found = exceptions(cpu, mxcsr)
        if not found:
            return
        unmasked = found & ~(mxcsr >> _MASKS)
        if unmasked & _BEFORE_COMPUTATION:
            found &= _BEFORE_COMPUTATION  # nothing is computed
        cpu.write_register("MXCSR", mxcsr | found)
        if unmasked:
            raise Fault(XM if cpu.registers.cr[4] & CR4_OSXMMEXCPT else UD)
