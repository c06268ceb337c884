"""Cases that the host's processor does not decide: features that we do not offer, differences from Intel's manual, and
answers of the operating system.

Volumes and sections are those of Intel's SDM.
"""

from dataclasses import dataclass

from tests.machine.programs import layout
from tests.machine.programs.program import Mode
from tests.oracle.enumeration.encoding import LOCK, OPERAND_SIZE, REP, REPNE
from tests.oracle.enumeration.matching import ONE, THREE_3A, THREE_38, TWO, Applies, any_of, at, modrm
from tests.oracle.enumeration.programs import Case

UD, GP, PF, DB = "vector 6", "vector 13", "vector 14", "vector 1"
_LONG = Mode.LONG.value
_AC = 1 << 18
_UMIP = "where CR4.UMIP is set (volume 3, 2.5), Linux answers in the processor's place"


@dataclass(frozen=True)
class Row:
    """Cases that the host's processor does not decide, and the reason."""

    name: str
    reason: str
    applies: Applies
    end: str = UD
    """The end by the manual, if the manual decides."""
    bits: tuple[tuple[int, str, int], ...] = ()
    """Bits of CPUID that are 0: leaf, register, bit."""


def _not_offered(name: str, applies: Applies, *bits: tuple[int, str, int]) -> Row:
    said = ", ".join(f"CPUID.{leaf:X}:{register}[{bit}]" for leaf, register, bit in bits)
    return Row(name, f"{said} = 0", applies, UD, bits)


def _without_prefix(case: Case) -> bool:
    return not any(prefix in case.form.prefixes for prefix in (OPERAND_SIZE, REP, REPNE))


def _vex_not_offered(case: Case) -> bool:
    """All of VEX but BMI1 and BMI2, which work on general registers, with L = 0."""
    form = case.form
    if not form.vex:
        return False
    table, last = form.escape[1] & 31, form.escape[2]
    if last & 4:
        return True
    prefix = last & 3  # none, 66H, F3H, F2H
    if table == 3:
        return (form.opcode, prefix) != (0xF0, 3)
    offered = {0xF2: (0,), 0xF3: (0,), 0xF5: (0, 2, 3), 0xF6: (3,), 0xF7: (0, 1, 2, 3)}
    return prefix not in offered.get(form.opcode, ()) or (form.opcode == 0xF3 and form.extension not in (1, 2, 3))


def _vex_or_evex(case: Case) -> bool:
    form = case.form
    return not form.escape and form.opcode in (0x62, 0xC4, 0xC5) and (form.mode == _LONG or form.register)


def _return_inwards(case: Case) -> bool:
    """Far RET to an inner ring, where reading the stack pointer of the outer one would fault."""
    form, size = case.form, 4
    if form.escape or form.opcode != 0xCA or LOCK in form.prefixes:
        return False
    if form.mode == _LONG and form.prefixes[-1:] in (b"\x48", b"\x4f"):
        size = 8
    elif OPERAND_SIZE in form.prefixes:
        size = 2
    rsp, released = (
        case.program.registers[4],
        int.from_bytes(case.program.code[case.length - 2 : case.length], "little"),
    )
    frame, end = rsp - layout.STACK, len(case.program.stack)
    inwards = 0 <= frame < end - 2 * size and case.program.stack[frame + size] & 3 != 3
    if case.program.rflags & _AC and (rsp | released) % size:
        return inwards and rsp % size == 0
    return inwards and frame + 4 * size + released > end


_AVX, _XSAVE, _VMX = (1, "ECX", 28), (1, "ECX", 26), (1, "ECX", 5)
_WAITPKG, _CET = (7, "ECX", 5), (7, "ECX", 7)
BY_THE_MANUAL = (
    _not_offered("AVX", any_of(_vex_not_offered, _vex_or_evex), _AVX, (7, "EBX", 5), (7, "EBX", 16)),
    _not_offered("SHA", any_of(at(THREE_38, range(0xC8, 0xCE)), at(THREE_3A, (0xCC,))), (7, "EBX", 29)),
    _not_offered("GFNI", any_of(at(THREE_38, (0xCF,)), at(THREE_3A, (0xCE, 0xCF))), (7, "ECX", 8)),
    _not_offered("XSAVE", at(TWO, (0xAE,), 4, 5, register=False), _XSAVE),
    _not_offered("XSAVEOPT, CLWB", at(TWO, (0xAE,), 6, register=False), _XSAVE, (7, "EBX", 24)),
    _not_offered("CLFLUSHOPT", at(TWO, (0xAE,), 7, register=False, prefix=OPERAND_SIZE), (7, "EBX", 23)),
    _not_offered("INCSSP, UMONITOR", at(TWO, (0xAE,), 5, 6, register=True, prefix=REP), _CET, _WAITPKG),
    _not_offered("UMWAIT", at(TWO, (0xAE,), 6, register=True, prefix=REPNE), _WAITPKG),
    _not_offered("TPAUSE", at(TWO, (0xAE,), 6, register=True, prefix=OPERAND_SIZE), _WAITPKG),
    _not_offered("XRSTORS, XSAVEC, XSAVES", at(TWO, (0xC7,), 3, 4, 5, register=False), _XSAVE),
    _not_offered(
        "RDRAND, RDSEED", at(TWO, (0xC7,), 6, 7, register=True), (1, "ECX", 30), (7, "EBX", 18), (7, "ECX", 22)
    ),
    _not_offered("XGETBV, XTEST", at(TWO, (0x01,), 2, register=True), _XSAVE, (7, "EBX", 11), (7, "EBX", 4)),
    Row("HRESET", "CPUID.7.1:EAX[22] = 0", at(THREE_3A, (0xF0,), 0, register=True, prefix=REP)),
    _not_offered("PTWRITE", at(TWO, (0xAE,), 4, register=True, prefix=REP), (7, "EBX", 25)),
    _not_offered("XABORT, XBEGIN", at(ONE, (0xC6, 0xC7), 7, register=True), (7, "EBX", 11)),
    _not_offered("TDCALL, SEAMCALL, ENCLS", at(TWO, (0x01,), 1, register=True, rm=(4, 5, 6, 7)), (7, "EBX", 2)),
    _not_offered("VMCALL, SGX", at(TWO, (0x01,), 0, register=True), _VMX, (7, "EBX", 2)),
    _not_offered("VMREAD, VMWRITE", at(TWO, (0x78, 0x79)), _VMX, (0x8000_0001, "ECX", 6)),
    _not_offered("INVEPT, INVVPID", at(THREE_38, (0x80, 0x81)), _VMX),
    _not_offered("INVPCID", at(THREE_38, (0x82,)), (7, "EBX", 10)),
    _not_offered("VMMCALL", at(TWO, (0x01,), 3, register=True), (0x8000_0001, "ECX", 2)),
    _not_offered("RDPKRU, SERIALIZE", at(TWO, (0x01,), 5, register=True), (7, "ECX", 3), (7, "EDX", 14)),
    _not_offered("MONITORX", at(TWO, (0x01,), 7, register=True, rm=(2, 3, 4, 5, 6, 7)), (0x8000_0001, "ECX", 29)),
    _not_offered("MOVNTSS, MOVNTSD", at(TWO, (0x2B,), prefix=REP), (0x8000_0001, "ECX", 6)),
    _not_offered("MOVNTSS, MOVNTSD", at(TWO, (0x2B,), prefix=REPNE), (0x8000_0001, "ECX", 6)),
    _not_offered("3DNow!", at(TWO, (0x0E, 0x0F)), (0x8000_0001, "EDX", 31)),
    _not_offered("WRUSS", at(THREE_38, (0xF5,)), _CET),
    _not_offered("WRSS", lambda case: at(THREE_38, (0xF6,))(case) and _without_prefix(case), _CET),
    _not_offered("MOVDIRI, MOVDIR64B", at(THREE_38, (0xF8, 0xF9)), (7, "ECX", 27), (7, "ECX", 28), (7, "ECX", 29)),
    Row("SYSCALL, SYSRET", "IA32_EFER.SCE is 0 here: #UD (volume 2, SYSCALL, SYSRET)", at(TWO, (0x05, 0x07))),
    Row(
        "LOCK MOV CR",
        "AMD's other name of CR8; #UD (volume 2, MOV to and from control registers)",
        at(TWO, (0x20, 0x22), prefix=LOCK),
    ),
    Row("LOCK VERW", "an AMD processor executes it; #UD (volume 2, LOCK)", at(TWO, (0x00,), 5, prefix=LOCK)),
    Row(
        "far RET inwards",
        "AMD reads the outer stack first; #GP, for RPL is below CPL (volume 2, RET)",
        _return_inwards,
        GP,
    ),
    Row(
        "SYSENTER",
        "AMD has it in legacy mode only; IA32_SYSENTER_CS is 0: #GP (volume 2, SYSENTER)",
        at(TWO, (0x34,)),
        GP,
    ),
    Row("SYSEXIT", "AMD has it in legacy mode only; #GP outside ring 0 (volume 2, SYSEXIT)", at(TWO, (0x35,)), GP),
    Row(
        "INT1",
        "a trap (volume 3, 6.15, interrupt 1); a hypervisor that intercepts it returns to the instruction itself",
        at(ONE, (0xF1,)),
        DB,
    ),
)
"""Cases that the manual decides, whatever the host's processor does: mostly those that must be #UD here."""


def _masks_all(case: Case) -> bool:
    """MASKMOVQ or MASKMOVDQU with a mask that selects no byte."""
    if not at(TWO, (0xF7,), register=True)(case):
        return False
    number, fx = modrm(case) & 7, case.program.fx
    number |= 8 if case.form.prefixes[-1:] == b"\x4f" else 0
    if OPERAND_SIZE in case.form.prefixes:
        mask = fx[160 + 16 * number :][:16]
    else:  # MMn is a physical register, and the image has them from TOP on
        top = fx[3] >> 3 & 7
        mask = fx[32 + 16 * ((number & 7) - top & 7) :][:8]
    return not any(byte & 0x80 for byte in mask)


def _wide_far_pointer(case: Case) -> bool:
    far = any_of(at(TWO, (0xB2, 0xB4, 0xB5), register=False), at(ONE, (0xFF,), 3, 5, register=False))
    return far(case) and case.form.prefixes[-1:] in (b"\x48", b"\x4f")


def _enter_with_alignment_check(case: Case) -> bool:
    return at(ONE, (0xC8,))(case) and bool(case.program.rflags & _AC)


def _system_call(case: Case) -> bool:
    return at(ONE, (0xCD,))(case) and case.program.code[case.length - 1] == 0x80


NOT_WITNESSED = (
    Row("SLDT, STR", _UMIP, at(TWO, (0x00,), 0, 1)),
    Row("SGDT, SIDT", _UMIP, at(TWO, (0x01,), 0, 1, register=False)),
    Row("SMSW", _UMIP, at(TWO, (0x01,), 4)),
    Row("INT 80H", "a system call of Linux; here #GP or a gate as the IDT has it (volume 3, 6.12.1)", _system_call),
    Row("far pointers of 64 bits", "AMD has none: REX.W is ignored there (volume 2, LSS, JMP)", _wide_far_pointer),
    Row("MASKMOV", "with a mask of zeros a page fault may occur or not (volume 2, MASKMOVQ)", _masks_all),
    Row(
        "ENTER",
        "whether the probe of the new stack pointer has to be aligned is not said (volume 2, ENTER)",
        _enter_with_alignment_check,
    ),
    Row(
        "PREFETCHW of a register",
        "#UD for AMD; a reserved NOP (volume 2, appendix A, table A-3)",
        at(TWO, (0x0D,), register=True),
    ),
)
"""Cases that the host's processor cannot answer."""


_NEAR_BRANCH = any_of(
    at(ONE, (*range(0x70, 0x80), 0xC2, 0xC3, *range(0xE0, 0xE4), 0xE8, 0xE9, 0xEB)),
    at(TWO, range(0x80, 0x90)),
    at(ONE, (0xFF,), 2, 4),
)


_LOOP_WHILE = at(ONE, (0xE0, 0xE1))


def code_for_host(case: Case) -> bytes:
    """The program for the host: 3EH, which has no effect, replaces prefixes that only AMD's processors obey.

    66H at near branches of 64-bit mode cuts the target to 16 bits (volume 2, JMP, Jcc, CALL, RET), F2H and F3H at
    LOOPE and LOOPNE choose between the two.
    """
    code, prefixes = case.program.code, case.form.prefixes
    ignored = b""
    if case.form.mode == _LONG and _NEAR_BRANCH(case):
        ignored += b"\x66"
    if _LOOP_WHILE(case):
        ignored += b"\xf2\xf3"
    return bytes(0x3E if byte in ignored else byte for byte in prefixes) + code[len(prefixes) :]
