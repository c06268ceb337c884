"""Page faults of instructions that extend into a page without code.

The processor has to fetch the whole of an instruction before it can raise another exception for it (SDM volume 3,
6.9). Unicorn raises some before it has: #NM after the opcode, #UD and #GP after a part.
"""

from machine.architecture.control_registers import CR4_SMEP
from machine.architecture.exceptions import GP, Fault, PageFault
from machine.architecture.paging import Mode, Translation, is_canonical
from machine.bus.ram import PAGE_SIZE
from machine.processor.cpu import Cpu

_PRESENT, _USER, _RESERVED, _FETCH = 1, 4, 8, 16
_EFER_NXE, _LOW = 1 << 11, 0xFFFF_FFFF
_LONGEST = 15


def fetch_fault(cpu: Cpu) -> Fault | None:
    """Return the exception that fetching the rest of the instruction at RIP raises.

    Args:
        cpu: The processor, with RIP at an instruction whose first byte can be fetched.

    Returns:
        #PF, or #GP(0) beyond the last canonical address; None if all of it can be fetched.
    """
    at = cpu.linear_rip
    rest = -at % PAGE_SIZE
    if not 0 < rest < _LONGEST or not cpu.code.at(at) or cpu.code.instruction_at(at) is not None:
        return None
    registers = cpu.registers
    address = at + rest & (2**64 - 1 if registers.in_64_bit_code else _LOW)
    if not is_canonical(address):
        return Fault(GP, 0)
    found, user, smep = cpu.memory.look(address), registers.cpl == 3, registers.cr[4] & CR4_SMEP
    code = _USER if user else 0
    if smep or (registers.efer & _EFER_NXE and cpu.memory.mode is not Mode.TWO_LEVEL):
        code |= _FETCH
    if found is None:
        return PageFault(code, address)
    return None if _may_fetch(found, user=user, smep=bool(smep)) else PageFault(code | _present(found), address)


def _present(found: Translation) -> int:
    return _PRESENT | (_RESERVED if found.reserved else 0)


def _may_fetch(found: Translation, *, user: bool, smep: bool) -> bool:
    if found.reserved or not found.executable:
        return False
    return found.user if user else not (found.user and smep)
