"""Defects of the kernel in handing over the processor: scrubbing, registers, time."""

from tests.mutants.defect import JITTER_FREE, NON_INTERFERENCE, SHORT_LIVED, ZERO_TRACE, Defect, Edit, Kernel

_UNWOUND = "        .cfi_adjust_cfa_offset -8\n"
_AFTER_HOST_CALL = "        xorl    %ebx, %ebx\n        addq    $8, %rsp\n" + _UNWOUND
_POPPED = "        movq    $0, (%rsp)\n        leaq    8(%rsp), %rsp\n" + _UNWOUND + "        .endr\n"
_CLEARED = (
    ".irp    register, ecx, edx, esi, edi, ebp, r8d, r9d, r10d, r11d, r12d, r13d, r14d, r15d\n"
    "        xorl    %\\register, %\\register\n        .endr\n        iretq"
)
_CALL_STACK = "scrub_stack CALL_STACK_BASE, CALL_STACK_BASE + CALL_STACK_SIZE - CALL_FRAME, CHANNEL_CALL"
_IRQ_STACK = "scrub_stack IRQ_STACK_BASE, IRQ_STACK_BASE + IRQ_STACK_SIZE - IRQ_FRAME, CHANNEL_IRQ"
_LAST_LINE = "scrub   CALL_STACK_BASE, CALL_STACK_SIZE"
_LEAVING = "        zero_vector_registers\n        zero_x87\n        ret"
_SCRATCH = (
    "        .irp    register, eax, ecx, edx, esi, edi, r8d, r9d, r10d, r11d\n"
    "        xorl    %\\register, %\\register\n        .endr\n"
)
_FORGET = "    case VMM_DESTROY:\n        forget_guest();"
_ARM, _COMMIT = "timer_arm(options.wake_ns", "store32(ENCLAVE + ENCLAVE_UPLINK_COMMIT, 1);"
_WAIT = "    while (*(volatile int *)&sleeps)"
_WOKEN = "    timer_stop();\n    scrub(IRQ_STACK_BASE, IRQ_STACK_SIZE);"


def _kernel(*edits: Edit) -> Kernel:
    return Kernel(edits)


SCRUBBING = (
    Defect(
        "staging-stays",
        "annihilation does not scrub the staging area",
        _kernel(Edit("annihilate.c", "scrub(STAGING_BASE, STAGING_SIZE);")),
        ("counter", "failure"),
        (ZERO_TRACE,),
    ),
    Defect(
        "heap-stays",
        "annihilation does not scrub the heap",
        _kernel(Edit("annihilate.c", "scrub(HEAP_BASE, HEAP_SIZE);")),
        ("failure",),
        (ZERO_TRACE, NON_INTERFERENCE),
    ),
    Defect(
        "guest-stack-stays",
        "annihilation does not scrub the guest's stack",
        _kernel(Edit("annihilate.c", "scrub(GUEST_STACK_BASE, GUEST_STACK_SIZE);")),
        ("failure",),
        (ZERO_TRACE, NON_INTERFERENCE),
    ),
    Defect(
        "kernel-stack-stays",
        "step A5 does not scrub the kernel's stack",
        _kernel(Edit("dormant.S", "scrub   KERNEL_STACK_BASE, KERNEL_STACK_SIZE")),
        ("counter",),
        (ZERO_TRACE,),
    ),
    Defect(
        "data-stays",
        "step A5 does not scrub the kernel's data",
        _kernel(Edit("dormant.S", "scrub   DATA_BASE, DATA_SIZE")),
        ("counter",),
        (ZERO_TRACE,),
    ),
    Defect(
        "nmi-stack-stays",
        "step A5 does not scrub the stack of non-maskable interrupts",
        _kernel(Edit("dormant.S", "scrub   NMI_STACK_BASE, NMI_STACK_SIZE")),
        ("tampered",),
        (ZERO_TRACE,),
    ),
    Defect(
        "last-line-stays",
        "step A5 scrubs the call stack except its last line",
        _kernel(Edit("dormant.S", _LAST_LINE, _LAST_LINE + " - 64")),
        ("shredder",),
        (ZERO_TRACE,),
    ),
    Defect(
        "cycle-heap",
        "the heap is not scrubbed between two cycles",
        _kernel(Edit("exec_loop.c", "scrub(HEAP_BASE, HEAP_SIZE);")),
        ("marked", "surveyor", "counter"),
        (ZERO_TRACE, NON_INTERFERENCE, SHORT_LIVED),
    ),
    Defect(
        "cycle-guest-stack",
        "the guest's stack is not scrubbed between two cycles",
        _kernel(Edit("exec_loop.c", "scrub(GUEST_STACK_BASE, GUEST_STACK_SIZE);")),
        ("keeper",),
        (ZERO_TRACE, NON_INTERFERENCE),
    ),
    Defect(
        "cycle-arena",
        "the arena is not scrubbed between two cycles",
        _kernel(Edit("arena.c", "    scrub(ARENA_BASE, ARENA_SIZE);\n")),
        ("counter",),
        (ZERO_TRACE,),
    ),
    Defect(
        "cycle-call-stack",
        "the call stack is not scrubbed between two cycles",
        _kernel(Edit("exec_loop.c", "scrub(CALL_STACK_BASE, CALL_STACK_SIZE);")),
        ("counter",),
        (ZERO_TRACE,),
    ),
    Defect(
        "cycle-irq-stack",
        "the interrupt stack is not scrubbed between two cycles",
        _kernel(Edit("exec_loop.c", "    scrub(IRQ_STACK_BASE, IRQ_STACK_SIZE);\n}", "}")),
        ("runner",),
        (ZERO_TRACE,),
    ),
    Defect(
        "sleep-irq-stack",
        "the frame of the interrupt that ends a sleep stays on its stack",
        _kernel(Edit("exec_loop.c", _WOKEN, "    timer_stop();")),
        ("counter",),
        (ZERO_TRACE,),
    ),
    Defect(
        "call-stack",
        "the call stack is not scrubbed when a host call returns",
        _kernel(Edit("interrupts.S", _CALL_STACK)),
        ("counter",),
        (ZERO_TRACE,),
    ),
    Defect(
        "irq-stack",
        "the interrupt stack is not scrubbed when an interrupt returns",
        _kernel(Edit("interrupts.S", _IRQ_STACK)),
        ("rower", "runner"),
        (ZERO_TRACE,),
    ),
    Defect(
        "popped-registers",
        "the guest's registers stay on the interrupt stack after they are popped",
        _kernel(Edit("interrupts.S", _POPPED, _POPPED.replace("        movq    $0, (%rsp)\n", ""))),
        ("runner",),
        (ZERO_TRACE,),
    ),
)
REGISTERS = (
    Defect(
        "xmm-after-call",
        "XMM registers are not cleared when a host call returns",
        _kernel(Edit("interrupts.S", _AFTER_HOST_CALL + "        zero_vector_registers\n", _AFTER_HOST_CALL)),
        ("keeper",),
        (ZERO_TRACE,),
    ),
    Defect(
        "x87-after-call",
        "x87 registers are not cleared when a host call returns",
        _kernel(
            Edit("interrupts.S", "        zero_x87\n        jmp     return_to_guest", "        jmp     return_to_guest")
        ),
        ("keeper",),
        (ZERO_TRACE,),
    ),
    Defect(
        "xmm-asleep",
        "XMM registers are not cleared when a guest has returned",
        _kernel(Edit("interrupts.S", _LEAVING, "        zero_x87\n        ret")),
        ("keeper",),
        (ZERO_TRACE, NON_INTERFERENCE),
    ),
    Defect(
        "registers-asleep",
        "general registers are not cleared when a guest has returned",
        _kernel(Edit("interrupts.S", _SCRATCH)),
        ("keeper",),
        (NON_INTERFERENCE,),
    ),
    Defect(
        "r12-after-call",
        "R12 is not cleared on the way to ring 3",
        _kernel(Edit("interrupts.S", _CLEARED, _CLEARED.replace(" r12d,", ""))),
        ("keeper",),
        (ZERO_TRACE,),
    ),
    Defect(
        "rsi-after-call",
        "RSI is not cleared on the way to ring 3, and keeps the kernel's value",
        _kernel(Edit("interrupts.S", _CLEARED, _CLEARED.replace(" esi,", ""))),
        ("keeper", "counter"),
        (ZERO_TRACE,),
    ),
    Defect(
        "mxcsr-kept",
        "a flat guest starts with the MXCSR and data segments of the previous guest",
        _kernel(Edit("native.c", _FORGET, _FORGET.replace("forget", "if (0) forget"))),
        ("surveyor",),
        (ZERO_TRACE,),
    ),
    Defect(
        "r10-dormant",
        "R10 is not cleared in step A6",
        _kernel(Edit("dormant.S", "esp, r8d, r10d, r11d", "esp, r8d, r11d")),
        ("failure",),
        (ZERO_TRACE,),
    ),
    Defect(
        "xmm-dormant",
        "XMM7 is not cleared in step A6",
        _kernel(Edit("dormant.S", "4, 5, 6, 7, 8, 9,", "4, 5, 6, 8, 9,")),
        ("failure",),
        (ZERO_TRACE, NON_INTERFERENCE),
    ),
    Defect(
        "x87-dormant",
        "x87 registers are not cleared in step A6",
        _kernel(Edit("dormant.S", "        .rept   8\n        fldz\n        .endr\n")),
        ("failure",),
        (ZERO_TRACE, NON_INTERFERENCE),
    ),
    Defect(
        "dr6-dormant",
        "DR6 is not cleared in step A6",
        _kernel(Edit("dormant.S", "        movq    %rcx, %db6\n")),
        ("stepper",),
        (ZERO_TRACE,),
    ),
    Defect(
        "cr2-dormant",
        "CR2 is not cleared in step A6",
        _kernel(Edit("dormant.S", "        movq    %rax, %cr2\n")),
        ("stray",),
        (ZERO_TRACE,),
    ),
    Defect(
        "idt-dormant",
        "the IDT stays loaded in step A6",
        _kernel(Edit("dormant.S", "        lidt    empty_idt(%rip)\n")),
        ("counter",),
        (ZERO_TRACE,),
    ),
)
TIME = (
    Defect(
        "wake-drifts",
        "the kernel arms every other wake 1 ns late",
        _kernel(Edit("exec_loop.c", _ARM, _ARM + " + (cycle & 1)")),
        ("counter", "short sleeps", "long sleeps"),
        (JITTER_FREE,),
    ),
    Defect(
        "late-sleep",
        "before a short sleep, the kernel is busy for longer than the sleep",
        _kernel(Edit("exec_loop.c", _WAIT, "    for (volatile u32 i = 0; i < 1000; i++) { }\n" + _WAIT)),
        ("short sleeps", "long sleeps"),
        (JITTER_FREE,),
    ),
    Defect(
        "slow-signals",
        "emit_signal takes time in proportion to the value",
        _kernel(Edit("traps.c", _COMMIT, _COMMIT + " for (volatile u32 i = 0; i < (argument & 0xFF); i++) { }")),
        ("herald",),
        (NON_INTERFERENCE,),
    ),
    Defect(
        "wide-answer",
        "the upper half of a host call's answer holds kernel data",
        _kernel(Edit("traps.c", "return status;", "return status | (u64)&status << 32;")),
        ("keeper",),
        (ZERO_TRACE,),
    ),
    Defect(
        "calls-interruptible",
        "interrupts are on during host calls",
        _kernel(
            Edit(
                "interrupts.S",
                "        call    host_call\n",
                "        sti\n        nop\n        call    host_call\n        cli\n",
            )
        ),
        ("chatterer",),
        (JITTER_FREE,),
    ),
)
KERNEL_DEFECTS = (*SCRUBBING, *REGISTERS, *TIME)
