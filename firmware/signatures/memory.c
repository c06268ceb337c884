/* The functions to which a compiler adds calls automatically: for algorithms.zig, and for large structures in C. */
#include "vmm.h"

void *memcpy(void *to, const void *from, u64 size)
{
    void *at = to;

    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) :: "memory");
    return to;
}

void *memset(void *to, int value, u64 size)
{
    void *at = to;

    __asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(value) : "memory");
    return to;
}
