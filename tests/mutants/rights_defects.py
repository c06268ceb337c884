"""Defects of the kernel in rights: page tables, gates, the task state, flags, what it lets run. The kernel audits its
own tables before it continues, so a mutant with wrong tables has a blind audit, too.
"""

from tests.mutants.defect import ADMITTED, BLIND, ISOLATED, LOUD, ZERO_TRACE, Defect, Edit, Kernel

_OPEN = "(vector == VECTOR_HOST_CALL ? GATE_USER : 0)"
_DEVICES = "        pages   0, 1, TABLE | USER, PD_ACTIVE\n        pages   3 << 30, 1, TABLE"
_DEVICE_PAGES = "0x400000, DATA | LARGE | UNCACHED"


_OFFERED = "(read_cr4() & CR4_PROTECTIONS) != protections_offered()"


def _protection_off(name: str, register: str) -> Kernel:
    """The bit of CR4 is not set, and the kernel does not check it."""
    return Kernel(
        (
            Edit("boot.S", f"        offered %{register}, CPUID_{name}, CR4_{name}\n"),
            Edit(
                "prot_entry.c",
                _OFFERED,
                f"(read_cr4() & CR4_PROTECTIONS) != (protections_offered() & ~(1u << CR4_{name}))",
            ),
        )
    )


def _tables(old: str, new: str) -> Kernel:
    return Kernel((Edit("tables.S", old, new), BLIND))


RIGHTS_DEFECTS = (
    Defect(
        "data-user",
        "ring 3 can access the kernel's data; SMAP stops the kernel at once",
        _tables("pages   DATA_BASE, DATA_SIZE, DATA\n", "pages   DATA_BASE, DATA_SIZE, DATA | USER\n"),
        ("counter",),
        (LOUD,),
    ),
    Defect(
        "nmi-stack-user",
        "ring 3 can access the stack of non-maskable interrupts",
        _tables("NMI_STACK_SIZE, DATA\n", "NMI_STACK_SIZE, DATA | USER\n"),
        ("counter",),
        (ISOLATED,),
    ),
    Defect(
        "irq-stack-user",
        "ring 3 can access the interrupt stack",
        _tables("IRQ_STACK_SIZE, DATA\n", "IRQ_STACK_SIZE, DATA | USER\n"),
        ("counter",),
        (ISOLATED,),
    ),
    Defect(
        "guest-stack-executable",
        "the guest's stack is writable and executable",
        _tables("GUEST_STACK_SIZE, DATA | USER", "GUEST_STACK_SIZE, CODE | WRITABLE | USER"),
        ("counter",),
        (ISOLATED,),
    ),
    Defect(
        "tables-writable",
        "page tables are mapped writable",
        _tables("TABLES_SIZE, CONSTANT", "TABLES_SIZE, DATA"),
        ("counter",),
        (ISOLATED,),
    ),
    Defect(
        "guest-code-writable",
        "a flat guest can write its own code",
        _tables("STAGING_SIZE, CODE | LARGE | USER", "STAGING_SIZE, CODE | WRITABLE | LARGE | USER"),
        ("vandal",),
        (ISOLATED,),
    ),
    Defect(
        "devices-user",
        "ring 3 can access the device range; SMAP stops the kernel at once",
        Kernel(
            (
                Edit("tables.S", _DEVICES, _DEVICES + " | USER"),
                Edit("tables.S", _DEVICE_PAGES, _DEVICE_PAGES + " | USER"),
                BLIND,
            )
        ),
        ("counter",),
        (LOUD,),
    ),
    Defect(
        "gate-open",
        "the gate of the time slice's interrupt has DPL 3",
        Kernel((Edit("prot_entry.c", _OPEN, _OPEN.replace(" ?", " || vector == VECTOR_QUANTUM ?")),)),
        ("forger", "counter"),
        (ISOLATED,),
    ),
    Defect(
        "irq-without-ist",
        "interrupts have no stack of their own",
        Kernel(
            (Edit("prot_entry.c", "vector != VECTOR_HOST_CALL ? IST_IRQ : 0", "vector != VECTOR_HOST_CALL ? 0 : 0"),)
        ),
        ("runner", "rower"),
        (ZERO_TRACE,),
    ),
    Defect(
        "early-idt",
        "the kernel begins without an IDT",
        Kernel((Edit("boot.S", "1:      lidt    boot_idt_pointer\n", "1:\n"),)),
        ("early NMI",),
        (LOUD,),
    ),
    Defect(
        "tables-kept",
        "the kernel does not load IDTR, GDTR and TR again before a guest runs",
        Kernel((Edit("interrupts.S", "        load_tables\n"),)),
        ("short IDT",),
        (ISOLATED,),
    ),
    Defect(
        "ports-open",
        "the I/O permission bitmap of the task state opens ports to ring 3",
        Kernel((Edit("prot_entry.c", "tss.io_permissions = sizeof tss;", "tss.io_permissions = 0;"),)),
        ("porter",),
        (ISOLATED,),
    ),
    Defect(
        "iopl-3",
        "a guest starts with I/O privilege level 3",
        Kernel((Edit("interrupts.S", "push_plain $0x202 ", "push_plain $0x3202 "),)),
        ("porter",),
        (ISOLATED,),
    ),
    Defect(
        "write-protect-off",
        "CR0.WP is clear, so ring 0 can write read-only pages",
        Kernel(
            (
                Edit("boot.S", "#define CR0_SET         0x80010023", "#define CR0_SET         0x80000023"),
                Edit(
                    "prot_entry.c",
                    "#define CR0_PG_WP_PE            0x80010001",
                    "#define CR0_PG_WP_PE            0x80000001",
                ),
            )
        ),
        ("counter", "runner"),
        (ISOLATED,),
    ),
    Defect(
        "umip-off",
        "CR4.UMIP is clear, so ring 3 can find out where the descriptor tables are",
        _protection_off("UMIP", "ecx"),
        ("counter",),
        (ISOLATED,),
    ),
    Defect(
        "smep-off",
        "CR4.SMEP is clear, so ring 0 can execute pages of ring 3",
        _protection_off("SMEP", "ebx"),
        ("counter",),
        (ISOLATED,),
    ),
    Defect(
        "smap-off",
        "CR4.SMAP is clear, so ring 0 can access pages of ring 3",
        _protection_off("SMAP", "ebx"),
        ("counter",),
        (ISOLATED,),
    ),
    Defect(
        "smap-suspended",
        "ring 0 keeps the flags of ring 3, so a guest that sets AC suspends SMAP",
        Kernel(
            (
                Edit(
                    "interrupts.S",
                    "        push_plain $2                   /* bit 1 always reads as 1 */\n        popfq\n"
                    "        .cfi_adjust_cfa_offset -8\n",
                    "        cld\n",
                ),
            )
        ),
        ("aligner",),
        (ISOLATED,),
    ),
    Defect(
        "guest-uninterruptible",
        "interrupts are off in ring 3",
        Kernel((Edit("interrupts.S", "push_plain $0x202 ", "push_plain $0x002 "),)),
        ("runner", "interrupted runner"),
        (ISOLATED,),
    ),
    Defect(
        "measurement-ignored",
        "a flat payload runs although it is not the one that the command line names",
        Kernel(
            (Edit("native.c", "if (measured[i] != options.sha256[i])", "if (0 && measured[i] != options.sha256[i])"),)
        ),
        ("altered",),
        (ADMITTED,),
    ),
)
