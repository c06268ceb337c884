"""What the kernel may do wrong when it hands the processor over: scrubbing, registers, time."""

from tests.mutants.defect import Defect, Edit, Kernel

_ZERO_TRACE, _ISOLATED, _JITTER_FREE = "zero-trace", "isolated", "jitter-free"
_NON_INTERFERENCE = "non-interference"
_AFTER_HOST_CALL = "        xorl    %ebx, %ebx\n        addq    $8, %rsp\n"
_POPPED = "        movq    $0, (%rsp)\n        leaq    8(%rsp), %rsp\n        .endr\n"
_CLEARED = "register, ecx, edx, esi, edi, ebp, r8d, r9d, r10d, r11d, r12d, r13d, r14d, r15d\n        xorl    %\\register, %\\register\n        .endr\n        iretq"


def _kernel(*edits: Edit) -> Kernel:
    return Kernel(edits)


SCRUBBING = (
    Defect(
        "staging-stays",
        "annihilation does not scrub the staging area",
        _kernel(Edit("annihilate.c", "scrub(STAGING_BASE, STAGING_SIZE);")),
        ("counter", "failure"),
        (_ZERO_TRACE,),
    ),
    Defect(
        "heap-stays",
        "annihilation does not scrub the heap",
        _kernel(Edit("annihilate.c", "scrub(HEAP_BASE, HEAP_SIZE);")),
        ("failure",),
        (_ZERO_TRACE, _NON_INTERFERENCE),
    ),
    Defect(
        "guest-stack-stays",
        "annihilation does not scrub the guest's stack",
        _kernel(Edit("annihilate.c", "scrub(GUEST_STACK_BASE, GUEST_STACK_SIZE);")),
        ("failure",),
        (_ZERO_TRACE, _NON_INTERFERENCE),
    ),
    Defect(
        "kernel-stack-stays",
        "step A5 does not scrub the kernel's stack",
        _kernel(Edit("dormant.S", "scrub   KERNEL_STACK_BASE, KERNEL_STACK_SIZE")),
        ("counter",),
        (_ZERO_TRACE,),
    ),
    Defect(
        "data-stays",
        "step A5 does not scrub the kernel's data",
        _kernel(Edit("dormant.S", "scrub   DATA_BASE, DATA_SIZE")),
        ("counter",),
        (_ZERO_TRACE,),
    ),
    Defect(
        "last-line-stays",
        "step A5 scrubs all of the call stack but its last line",
        _kernel(Edit("dormant.S", "scrub   CALL_STACK_BASE, CALL_STACK_SIZE", "scrub   CALL_STACK_BASE, CALL_STACK_SIZE - 64")),
        ("shredder",),
        (_ZERO_TRACE,),
    ),
    Defect(
        "cycle-heap",
        "the heap is not scrubbed between two cycles",
        _kernel(Edit("exec_loop.c", "scrub(HEAP_BASE, HEAP_SIZE);")),
        ("surveyor", "counter"),
        (_ZERO_TRACE, _NON_INTERFERENCE),
    ),
    Defect(
        "cycle-guest-stack",
        "the guest's stack is not scrubbed between two cycles",
        _kernel(Edit("exec_loop.c", "scrub(GUEST_STACK_BASE, GUEST_STACK_SIZE);")),
        ("keeper",),
        (_ZERO_TRACE, _NON_INTERFERENCE),
    ),
    Defect(
        "cycle-arena",
        "the arena is not scrubbed between two cycles",
        _kernel(Edit("exec_loop.c", "scrub(ARENA_BASE, ARENA_SIZE);")),
        ("counter",),
        (_ZERO_TRACE,),
    ),
    Defect(
        "cycle-call-stack",
        "the call stack is not scrubbed between two cycles",
        _kernel(Edit("exec_loop.c", "scrub(CALL_STACK_BASE, CALL_STACK_SIZE);")),
        ("counter",),
        (_ZERO_TRACE,),
    ),
    Defect(
        "cycle-irq-stack",
        "the interrupt stack is not scrubbed between two cycles",
        _kernel(Edit("exec_loop.c", "    scrub(IRQ_STACK_BASE, IRQ_STACK_SIZE);\n    arena_init", "    arena_init")),
        ("runner",),
        (_ZERO_TRACE,),
    ),
    Defect(
        "sleep-irq-stack",
        "the frame of the interrupt that ends a sleep stays on its stack",
        _kernel(Edit("exec_loop.c", "    timer_stop();\n    scrub(IRQ_STACK_BASE, IRQ_STACK_SIZE);", "    timer_stop();")),
        ("counter",),
        (_ZERO_TRACE,),
    ),
    Defect(
        "call-stack",
        "the call stack is not scrubbed when a host call returns",
        _kernel(Edit("interrupts.S", "scrub_stack CALL_STACK_BASE, CALL_STACK_BASE + CALL_STACK_SIZE - CALL_FRAME, CHANNEL_CALL")),
        ("counter",),
        (_ZERO_TRACE,),
    ),
    Defect(
        "irq-stack",
        "the interrupt stack is not scrubbed when an interrupt returns",
        _kernel(Edit("interrupts.S", "scrub_stack IRQ_STACK_BASE, IRQ_STACK_BASE + IRQ_STACK_SIZE - IRQ_FRAME, CHANNEL_IRQ")),
        ("rower", "runner"),
        (_ZERO_TRACE,),
    ),
    Defect(
        "popped-registers",
        "the guest's registers stay on the interrupt stack, where they were popped from",
        _kernel(Edit("interrupts.S", _POPPED, _POPPED.replace("        movq    $0, (%rsp)\n", ""))),
        ("runner",),
        (_ZERO_TRACE,),
    ),
)
REGISTERS = (
    Defect(
        "xmm-after-call",
        "XMM registers are not cleared when a host call returns",
        _kernel(Edit("interrupts.S", _AFTER_HOST_CALL + "        zero_vector_registers\n", _AFTER_HOST_CALL)),
        ("keeper",),
        (_ZERO_TRACE,),
    ),
    Defect(
        "x87-after-call",
        "x87 registers are not cleared when a host call returns",
        _kernel(Edit("interrupts.S", "        zero_x87\n        jmp     return_to_guest", "        jmp     return_to_guest")),
        ("keeper",),
        (_ZERO_TRACE,),
    ),
    Defect(
        "xmm-asleep",
        "XMM registers are not cleared when a guest has returned",
        _kernel(Edit("interrupts.S", "        zero_vector_registers\n        zero_x87\n        ret", "        zero_x87\n        ret")),
        ("keeper",),
        (_ZERO_TRACE, _NON_INTERFERENCE),
    ),
    Defect(
        "r12-after-call",
        "R12 is not cleared on the way to ring 3",
        _kernel(Edit("interrupts.S", _CLEARED, _CLEARED.replace(" r12d,", ""))),
        ("keeper",),
        (_ZERO_TRACE,),
    ),
    Defect(
        "rsi-after-call",
        "RSI is not cleared on the way to ring 3, and holds what the kernel left in it",
        _kernel(Edit("interrupts.S", _CLEARED, _CLEARED.replace(" esi,", ""))),
        ("keeper", "counter"),
        (_ZERO_TRACE,),
    ),
    Defect(
        "mxcsr-kept",
        "a flat guest finds MXCSR and the data segments as the last one left them",
        _kernel(Edit("native.c", "    case VMM_DESTROY:\n        forget_guest();", "    case VMM_DESTROY:\n        if (0) forget_guest();")),
        ("surveyor",),
        (_ZERO_TRACE,),
    ),
    Defect(
        "r10-dormant",
        "R10 is not cleared in step A6",
        _kernel(Edit("dormant.S", "esp, r8d, r10d, r11d", "esp, r8d, r11d")),
        ("failure",),
        (_ZERO_TRACE, _NON_INTERFERENCE),
    ),
    Defect(
        "xmm-dormant",
        "XMM7 is not cleared in step A6",
        _kernel(Edit("dormant.S", "4, 5, 6, 7, 8, 9,", "4, 5, 6, 8, 9,")),
        ("failure",),
        (_ZERO_TRACE, _NON_INTERFERENCE),
    ),
    Defect(
        "x87-dormant",
        "x87 registers are not cleared in step A6",
        _kernel(Edit("dormant.S", "        .rept   8\n        fldz\n        .endr\n")),
        ("failure",),
        (_ZERO_TRACE, _NON_INTERFERENCE),
    ),
    Defect(
        "dr6-dormant",
        "DR6 is not cleared in step A6",
        _kernel(Edit("dormant.S", "        movq    %rcx, %db6\n")),
        ("stepper",),
        (_ZERO_TRACE,),
    ),
    Defect(
        "cr2-dormant",
        "CR2 is not cleared in step A6",
        _kernel(Edit("dormant.S", "        movq    %rax, %cr2\n")),
        ("stray",),
        (_ZERO_TRACE,),
    ),
    Defect(
        "idt-dormant",
        "the IDT stays loaded in step A6",
        _kernel(Edit("dormant.S", "        lidt    empty_idt(%rip)\n")),
        ("counter",),
        (_ZERO_TRACE,),
    ),
)
TIME = (
    Defect(
        "wake-drifts",
        "the kernel arms every other wake 1 ns later",
        _kernel(Edit("exec_loop.c", "timer_arm(options.wake_ns, VECTOR_WAKE)", "timer_arm(options.wake_ns + (cycle & 1), VECTOR_WAKE)")),
        ("counter", "short sleeps", "long sleeps"),
        (_JITTER_FREE,),
    ),
    Defect(
        "late-sleep",
        "the kernel is busy for longer than a short sleep before it goes to sleep",
        _kernel(Edit("exec_loop.c", "    while (*(volatile int *)&sleeps)", "    for (volatile u32 i = 0; i < 1000; i++) { }\n    while (*(volatile int *)&sleeps)")),
        ("short sleeps", "long sleeps"),
        (_JITTER_FREE,),
    ),
    Defect(
        "slow-signals",
        "emit_signal takes as long as the value is great",
        _kernel(Edit("traps.c", "        store32(ENCLAVE + ENCLAVE_UPLINK_COMMIT, 1);", "        store32(ENCLAVE + ENCLAVE_UPLINK_COMMIT, 1);\n        for (volatile u32 i = 0; i < (argument & 0xFF); i++) { }")),
        ("herald",),
        (_NON_INTERFERENCE,),
    ),
    Defect(
        "wide-answer",
        "the upper half of a host call's answer is the kernel's",
        _kernel(Edit("traps.c", "return status;", "return status | (u64)&status << 32;")),
        ("keeper",),
        (_ZERO_TRACE,),
    ),
    Defect(
        "calls-interruptible",
        "interrupts are on during host calls",
        _kernel(Edit("interrupts.S", "        call    host_call\n", "        sti\n        nop\n        call    host_call\n        cli\n")),
        ("hurried herald", "interrupted sleeps"),
        (_JITTER_FREE,),
    ),
    Defect(
        "guest-uninterruptible",
        "interrupts are off in ring 3",
        _kernel(Edit("interrupts.S", "pushq   $0x202 ", "pushq   $0x002 ")),
        ("runner", "interrupted runner"),
        (_ISOLATED,),
    ),
)
KERNEL_DEFECTS = (*SCRUBBING, *REGISTERS, *TIME)
