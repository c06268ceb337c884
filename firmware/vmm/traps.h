/* Every trap of WebAssembly (core specification, 4): its name here, its kind, and its name in the specification's test
   suite. A kind is what a program of the processor would do: it has one exception. The processor raises the first three;
   the others are UD2, with the number in the byte after it. */
#ifndef AETHER_TRAPS_H
#define AETHER_TRAPS_H
#define TRAPS(TRAP_) \
    TRAP_(MEMORY, "memory_out_of_bounds", "out of bounds memory access") \
    TRAP_(STACK, "stack_overflow", "call stack exhausted") \
    TRAP_(DIVIDE, "divide", "integer divide by zero or overflow") \
    TRAP_(UNREACHABLE, "illegal", "unreachable") \
    TRAP_(TABLE, "illegal", "out of bounds table access") \
    TRAP_(NULL_ELEMENT, "illegal", "uninitialized element") \
    TRAP_(SIGNATURE, "illegal", "indirect call type mismatch") \
    TRAP_(CONVERSION, "illegal", "invalid conversion to integer") \
    TRAP_(OVERFLOW, "illegal", "integer overflow")

#define TRAP_NUMBER(name, kind, words) TRAP_##name,
enum trap_number { NO_TRAP, TRAPS(TRAP_NUMBER) TRAP_COUNT };
#undef TRAP_NUMBER

#define TRAP(name) \
    do { \
        __asm__ volatile("ud2\n\t.byte %c0" :: "i"(TRAP_##name)); \
        __builtin_unreachable(); \
    } while (0)
#endif
