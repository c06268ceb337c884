"""The broken `boot.S` of a student: the built-in one with a GDT of its own for the switch, and three defects.

The switch uses a descriptor far up in that GDT, which the built-in kernel does not have. So the built-in source solves
nothing, and each student's kernel is recognized by the selector of its switch.
"""

from dataclasses import dataclass

from enclave_sim.labs.case import Case
from enclave_sim.labs.kernel import edited, source

SOURCE = "boot.S"
_LEAST, _MOST = 6, 60
"""The limits of the index of the switch's descriptor; the kernel's own GDT has lower ones."""


@dataclass(frozen=True)
class Defect:
    """A mistake in the source, and the exception that it raises."""

    name: str
    old: str
    new: str
    vector: int = 0
    """0 if it raises no exception during the switch."""
    error_code: int | None = None
    """None: the selector of the switch."""


_CODE_SEGMENT = "0x00AF9B000000FFFF      /* switch"
_CONTROL = (
    Defect("PAE", "CR4_SET         0x00000620", "CR4_SET         0x00000600", 13, 0),
    Defect("LME", "EFER_SET        0x00000900", "EFER_SET        0x00000800", 13, 0),
    Defect("NXE", "EFER_SET        0x00000900", "EFER_SET        0x00000100", 14, 9),
)
"""The switch does not come to its far jump."""
_DESCRIPTOR = (
    Defect("not present", _CODE_SEGMENT, "0x00AF1B000000FFFF      /* switch", 11),
    Defect("data", _CODE_SEGMENT, "0x00AF93000000FFFF      /* switch", 13),
    Defect("ring 3", _CODE_SEGMENT, "0x00AFFB000000FFFF      /* switch", 13),
    Defect("L and D", _CODE_SEGMENT, "0x00EF9B000000FFFF      /* switch", 13),
    Defect("limit", "switch_gdt_end - switch_gdt - 1", "switch_gdt_end - switch_gdt - 9", 13),
)
"""The far jump is refused."""
_LATER = (
    Defect("WP", "CR0_SET         0x80010023", "CR0_SET         0x80000023"),
    Defect("NE", "CR0_SET         0x80010023", "CR0_SET         0x80010003"),
    Defect("CR3", "movl    $PML4_ACTIVE, %eax", "movl    $PML4_DORMANT, %eax"),
    Defect("DPL of USER_CODE", "0x00AFFB000000FFFF      /* USER", "0x00AF9B000000FFFF      /* USER"),
    Defect("USER_DATA is read-only", "0x00CFF3000000FFFF", "0x00CFF1000000FFFF"),
    Defect("limit of the GDT", "gdt_end - gdt - 1", "gdt_end - gdt - 17"),
)
"""The kernel stops later, or runs with a protection less."""

_EDITS = {
    """\
        ljmp    $KERNEL_CODE, $long_mode
""": """\
        lgdt    switch_pointer
        ljmp    $SWITCH_CODE, $long_mode
""",
    """\
        .code64
        .globl  long_mode
long_mode:
        frame_first
        lgdt    gdt_pointer
""": """\
        .code64
        .globl  long_mode
long_mode:                              /* with the switch's GDT; from here on with the kernel's */
        frame_first
        movq    $(KERNEL_STACK_BASE + KERNEL_STACK_SIZE), %rsp
        lgdt    gdt_pointer
        pushq   $KERNEL_CODE
        pushq   $1f
        lretq
1:
""",
    """\
1:      hlt                             /* kernel_main does not return */
        jmp     1b
""": """\
2:      hlt                             /* kernel_main does not return */
        jmp     2b
""",
    """\
        .globl  gdt, gdt_pointer
""": """\
        .globl  gdt, gdt_pointer
switch_gdt:
        .fill   SWITCH_CODE / 8, 8, 0   /* descriptors that are not present */
        .quad   0x00AF9B000000FFFF      /* switch: 64-bit code, ring 0 */
switch_gdt_end:
        .balign 8
switch_pointer:
        .short  switch_gdt_end - switch_gdt - 1
        .long   switch_gdt
        .balign 16
""",
}


def selector(case: Case) -> int:
    """Return the selector of the code segment with which a student's kernel switches."""
    return 8 * case.number("descriptor", _LEAST, _MOST)


def defects(case: Case) -> tuple[Defect, Defect, Defect]:
    """Return the defects of a case, in the order in which they show."""
    return case.choose("control", _CONTROL), case.choose("segment", _DESCRIPTOR), case.choose("later", _LATER)


def all_defects() -> tuple[Defect, ...]:
    """Return every defect that a case may have."""
    return *_CONTROL, *_DESCRIPTOR, *_LATER


def boot_source(case: Case, *broken: Defect) -> bytes:
    """Return `boot.S` of a case with some defects."""
    number = {"#define CR0_SET ": f"#define SWITCH_CODE     {selector(case):#x}\n#define CR0_SET "}
    whole = edited(source(f"src/{SOURCE}"), {**number, **_EDITS})
    return edited(whole, {one.old: one.new for one in broken}).encode()
