/* Call frame information for assembly code (DWARF 4, 6.4): it tells a debugger who called. It goes to .debug_frame,
   which is not loaded, so that it changes no byte of the kernel in memory. */
        .cfi_sections .debug_frame

#define FRAME_RBX       3               /* the psABI's numbers, where the assembler does not accept names */
#define FRAME_RBP       6
#define FRAME_RSP       7
#define FRAME_RIP       16
#define FRAME_CS        51
#define FRAME_SS        52
#define FRAME_SIZE      40              /* SS, RSP, RFLAGS, CS, RIP: pushed by the processor, popped by IRETQ */

/* The common entry (CIE) of interrupt handlers. Its augmentation S says that an interrupt, not a call, entered them: only
   then does a debugger accept a caller on a lower stack. The assembler cannot make it for .debug_frame, so build.py gives
   this one to the handlers. */
        .macro  handlers_entry
        .pushsection .debug_frame, "", @progbits
        .long   2f - 1f
1:      .long   -1
        .byte   4                       /* version */
        .asciz  "S"
        .byte   8, 0, 1, 0x78, FRAME_RIP        /* size of addresses, segments; factors 1 and -8; return address */
        .balign 8, 0
2:      .popsection
        .endm

/* Begin code without a caller. */
        .macro  frame_first
        .cfi_startproc
        .cfi_undefined FRAME_RIP
        .endm

/* Begin a function of 32-bit code, which keeps no register for its caller. Debuggers read return addresses of 64 bits, so
   this one, 4 bytes below the frame, is the value of an expression: val_expression of RIP; lit4, minus, deref_size 4. */
        .macro  frame_32
        .cfi_startproc
        .cfi_def_cfa FRAME_RSP, 4
        .cfi_undefined FRAME_RBX
        .cfi_undefined FRAME_RBP
        .cfi_escape 0x16, FRAME_RIP, 4, 0x34, 0x1C, 0x94, 4
        .endm

/* Begin code with `above` bytes of stack before the frame that IRETQ pops: its caller is the interrupted code,
   whose other registers are as they are here. */
        .macro  frame_interrupted above
        .cfi_startproc simple
        .cfi_def_cfa rsp, \above + FRAME_SIZE
        .cfi_offset rip, -40
        .cfi_offset FRAME_CS, -32
        .cfi_offset rflags, -24
        .cfi_offset rsp, -16
        .cfi_offset FRAME_SS, -8
        .endm

/* Push a value that the debugger need not know. */
        .macro  push_plain value
        pushq   \value
        .cfi_adjust_cfa_offset 8
        .endm

/* Push a register that is restored for the caller. */
        .macro  push_saved register
        pushq   %\register
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset \register, 0
        .endm

/* Pop a register pushed by `push_saved`. */
        .macro  pop_saved register
        popq    %\register
        .cfi_adjust_cfa_offset -8
        .cfi_same_value \register
        .endm
