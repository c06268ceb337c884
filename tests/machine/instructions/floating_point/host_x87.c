/* The host's own x87 unit: executes one instruction on a given state, again and again, as records arrive on stdin.

   A record is `struct record`; it comes back with the state, memory, RFLAGS and RAX that the instruction left. The
   instruction addresses its memory operand by RSI. x86-64 Linux only. */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct record {
    uint8_t code[15], length;
    uint64_t flags, rax;
    uint8_t image[108], padding[4];
    uint8_t memory[128];
};

static int transfer(ssize_t (*call)(int, void *, size_t), int file, void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t part = call(file, (char *)data + done, size - done);
        if (part <= 0)
            return 0;
        done += part;
    }
    return 1;
}

static ssize_t put(int file, void *data, size_t size)
{
    return write(file, data, size);
}

int main(void)
{
    static const uint8_t before[] = {0xDD, 0x27, 0xFF, 0x32, 0x9D}; /* frstor [rdi]; push [rdx]; popf */
    static const uint8_t after[] = {0x9C, 0x8F, 0x02, 0x48, 0x89, 0x42, 0x08, /* pushf; pop [rdx]; mov [rdx + 8], rax */
                                    0xDD, 0x37, 0xDB, 0xE3, 0xC3};            /* fnsave [rdi]; fninit; ret */
    static struct record records[256];
    uint8_t *code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint32_t count;
    if (code == MAP_FAILED)
        return 1;
    while (transfer((ssize_t(*)(int, void *, size_t))read, 0, &count, sizeof count) && count <= 256) {
        if (!transfer((ssize_t(*)(int, void *, size_t))read, 0, records, count * sizeof *records))
            return 2;
        for (uint32_t i = 0; i < count; i++) {
            struct record *r = &records[i];
            uint8_t *p = code;
            memcpy(p, before, sizeof before);
            p += sizeof before;
            memcpy(p, r->code, r->length);
            p += r->length;
            memcpy(p, after, sizeof after);
            uint64_t rax = r->rax;
            __asm__ volatile("lea -256(%%rsp), %%rsp; call *%4; lea 256(%%rsp), %%rsp"
                             : "+a"(rax) : "D"(r->image), "S"(r->memory), "d"(&r->flags), "r"(code)
                             : "memory", "cc", "rcx", "r8", "r9", "r10", "r11", "st", "st(1)", "st(2)", "st(3)",
                               "st(4)", "st(5)", "st(6)", "st(7)");
        }
        if (!transfer(put, 1, records, count * sizeof *records))
            return 3;
    }
    return 0;
}
