/* guest=resident: AetherHost's virtual machine monitor is part of this image (firmware/vmm). The kernel decodes and
   validates a module in ring 0; the interpreter executes it in ring 3.

   A module's tables are made for each of its guests, from the staged bytes, in the arena, and are scrubbed with it.
   While ring 3 runs, the RESIDENT tables are in force: ring 3 reads the module and its tables, and writes only the guest
   stack, globals, values, calls and the heap. */
#include "kernel.h"
#include "traps.h"
#include "vmm.h"

/* What ring 3 finds at a fixed address; `guest` is the argument of run(). */
struct tables { struct guest guest; struct module module; };

#define PAGE 0x1000
#define DIVIDE_ERROR 0
#define INVALID_OPCODE 6
#define PAGE_FAULT 14

extern const u8 vmm_entry[];        /* ring3.S */

static u32 current;                 /* the payload of the guest */
static int guest_lives;

/* Decode and validate a staged module into the rest of the arena. */
static struct tables *validated(u32 payload)
{
    struct tables *tables = arena_allocate(sizeof *tables);
    u32 room, used;
    u8 *free = arena_rest(&room);
    const u8 *bytes = (const u8 *)(u64)payloads[payload].base;
    struct rejection rejection = validate(&tables->module, bytes, payloads[payload].length, free, room, &used);

    if (rejection.reason) {
        report_guest(GUEST_REJECTED, payload, rejection.reason, rejection.offset);
        tell("REJECTED", rejection.reason);
        tell("OFFSET", rejection.offset);
        annihilate(CAUSE_PAYLOAD_REJECTED, DETAIL_NONE);
    }
    scrub_unused_stack();               /* the validator has read the module's constants */
    arena_allocate(used);
    check((u64)tables == ARENA_BASE + GUEST_RECORD);
    return tables;
}

/* The verdict on a payload; the tables are forgotten. */
static void compile(u32 payload)
{
    arena_allocate(GUEST_RECORD);
    validated(payload);
    clear_arena();
    report_guest(GUEST_VALIDATED, payload, 0, 0);
}

static void destroy(void)
{
    forget_guest();
    if (guest_lives)
        report_guest(GUEST_DESTROYED, current, 0, 0);
    guest_lives = 0;
}

u32 resident(u32 command, u32 argument)
{
    switch (command) {
    case VMM_COMPILE:
        compile(argument);
        break;
    case VMM_INSTANTIATE:
        forget_guest();
        current = argument;
        break;
    case VMM_DESTROY:
        destroy();
    }
    return VMM_ACCEPTED;
}

/* Make the guest and run it until it returns. Its linear memory is at the end of the heap. */
void resident_run(void)
{
    struct tables *tables = validated(current);
    u32 size = tables->module.pages * PAGE_BYTES;

    tables->guest = (struct guest){
        &tables->module, (u8 *)(LINEAR_END - size), (u64 *)GLOBALS_BASE, (u64 *)VALUES_BASE, (struct call *)CALLS_BASE,
    };
    guest_lives = 1;
    report_guest(GUEST_MADE, current, 0, size);
    write_cr3(PML4_RESIDENT);
    enter_guest((u64)vmm_entry, GUEST_STACK_BASE + GUEST_STACK_SIZE);
    write_cr3(PML4_ACTIVE);
}

/* Return the number in the byte after an instruction of the interpreter of two bytes, or NO_TRAP. */
static u32 number_after(u64 rip)
{
    u32 number;

    if (rip < VMM_TEXT_BASE || rip + 2 >= VMM_TEXT_BASE + VMM_TEXT_SIZE)
        return NO_TRAP;
    user_pages_open();
    number = *(const volatile u8 *)(rip + 2);
    user_pages_close();
    return number < TRAP_COUNT ? number : NO_TRAP;
}

static u32 trap_of(const struct trap_frame *frame)
{
    u64 address = read_cr2();

    switch (frame->vector) {
    case DIVIDE_ERROR:
        return TRAP_DIVIDE;
    case INVALID_OPCODE:
        return number_after(frame->rip);
    case PAGE_FAULT:
        if (address - LINEAR_END < LINEAR_END)
            return TRAP_MEMORY;
        if (address - VALUES_BASE - VALUES_SIZE < PAGE || address - CALLS_BASE - CALLS_SIZE < PAGE)
            return TRAP_STACK;
    }
    return NO_TRAP;
}

/* Report which trap of WebAssembly an exception in ring 3 is, if it is one. */
void resident_trapped(const struct trap_frame *frame)
{
    u32 trap = trap_of(frame);

    if (guest_lives && trap != NO_TRAP)
        report_guest(GUEST_TRAPPED, current, trap, 0);
}

/* Scrub what only this VMM writes. Where the kernel has to do that itself, it is mapped in two sets of tables only. */
void scrub_resident(void)
{
    u64 set = read_cr3();

    if (options.engine != ENGINE_RESIDENT)
        return;
    if (set != PML4_DORMANT)
        write_cr3(PML4_RESIDENT);
    scrub(GLOBALS_BASE, GLOBALS_SIZE);
    scrub(VALUES_BASE, VALUES_SIZE);
    scrub(CALLS_BASE, CALLS_SIZE);
    if (set != PML4_DORMANT)
        write_cr3(set);
}
