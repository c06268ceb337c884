"""Pieces of programs that turn on alignment checks."""

FLAG_AC = 1 << 18
SET_AM = "movq %cr0, %rax; orl $0x40000, %eax; movq %rax, %cr0;"
TO_RING_3 = "pushq $0x1B; pushq $0x240000; pushq $FLAGS; pushq $0x23; pushq $0x200000; iretq;"
