/* Page faults: every combination of P, W, U and I that an access can make, and what each table level says.
   (RSVD: docs/oracle.md.) */
#include "common.inc"

/* Read, write and fetch one address in both rings. */
        .macro ACCESS name, address
        CASE read_\name\()_r0, K64
        movabsq $\address, %rbx
        movb 1(%rbx), %al
        END
        CASE write_\name\()_r0, K64
        movabsq $\address, %rbx
        movb %al, 2(%rbx)
        END
        CASE fetch_\name\()_r0, K64
        movabsq $\address, %rbx
        call *%rbx
        END
        CASE read_\name\()_r3, U64
        movabsq $\address, %rbx
        movb 1(%rbx), %al
        END
        CASE write_\name\()_r3, U64
        movabsq $\address, %rbx
        movb %al, 2(%rbx)
        END
        CASE fetch_\name\()_r3, U64
        movabsq $\address, %rbx
        call *%rbx
        END
        .endm

        ACCESS user_rw, USER_RW
        ACCESS user_ro, USER_RO
        ACCESS kernel_rw, KERNEL_RW
        ACCESS kernel_ro, KERNEL_RO
        ACCESS absent, ABSENT
        ACCESS user_rwx, USER_RWX
        ACCESS user_rx, USER_RX
        ACCESS kernel_x, KERNEL_X
        ACCESS absent_reserved_bit, ABSENT_RESERVED_BIT
        ACCESS directory_ro, DIRECTORY_RO
        ACCESS directory_kernel, DIRECTORY_KERNEL
        ACCESS directory_nx, DIRECTORY_NX
        ACCESS directory_absent, DIRECTORY_ABSENT
        ACCESS pointer_absent, POINTER_ABSENT
        ACCESS pml4_absent, PML4_ABSENT
