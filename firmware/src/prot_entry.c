/* Phase 01, PROT_ENTRY: task state, interrupt descriptors (SDM volume 3, 6.14 and 7.7).
   Long mode, the GDT and the page tables are already active: boot.S, tables.S. */
#include "kernel.h"

#define GATE_PRESENT_INTERRUPT  0x8E
#define GATE_USER               0x60
#define EFER                    0xC0000080
#define EFER_NXE_LMA_LME        0xD00
#define CR0_PG_WP_PE            0x80010001
#define CR4_PAE                 0x20
#define CR4_PROTECTIONS         (1u << CR4_UMIP | 1u << CR4_SMEP | 1u << CR4_SMAP)

struct gate_descriptor { u16 low, selector; u8 ist, attributes; u16 middle; u32 high, reserved; };
struct __attribute__((packed)) task_state {
    u32 reserved_0;
    u64 rsp[3], reserved_1, ist[7], reserved_2;
    u16 reserved_3, io_permissions;
};
struct __attribute__((packed)) table_pointer { u16 limit; u64 base; };

struct gate_descriptor idt[VECTORS] __attribute__((aligned(16)));
extern const struct table_pointer idt_pointer;      /* interrupts.S */
static struct task_state tss __attribute__((aligned(16)));

static u32 stack_for(u32 vector)
{
    switch (vector) {
    case 2: return IST_NMI;
    case 8: return IST_FAULT;
    case 18: return IST_CHECK;
    default: return vector >= 32 && vector != VECTOR_HOST_CALL ? IST_IRQ : 0;
    }
}

static void load_task_state(void)
{
    u64 base = (u64)&tss;

    tss.rsp[0] = CALL_STACK_BASE + CALL_STACK_SIZE;
    tss.ist[IST_FAULT - 1] = FAULT_STACK_BASE + FAULT_STACK_SIZE;
    tss.ist[IST_NMI - 1] = NMI_STACK_BASE + NMI_STACK_SIZE;
    tss.ist[IST_CHECK - 1] = CHECK_STACK_BASE + CHECK_STACK_SIZE;
    tss.ist[IST_IRQ - 1] = IRQ_STACK_BASE + IRQ_STACK_SIZE;
    tss.io_permissions = sizeof tss;    /* beyond the limit: ring 3 may use no port */
    gdt[TASK_STATE / 8] = (sizeof tss - 1) | (base & 0xFFFFFF) << 16 | (u64)TASK_AVAILABLE << 40 | (base >> 24 & 0xFF) << 56;
    gdt[TASK_STATE / 8 + 1] = base >> 32;
    __asm__ volatile("ltr %w0" :: "r"(TASK_STATE));
}

static void load_interrupt_descriptors(void)
{
    for (u32 vector = 0; vector < VECTORS; vector++) {
        u64 handler = (u64)interrupt_stubs[vector];
        idt[vector].low = handler;
        idt[vector].selector = KERNEL_CODE;
        idt[vector].ist = stack_for(vector);
        idt[vector].attributes = GATE_PRESENT_INTERRUPT | (vector == VECTOR_HOST_CALL ? GATE_USER : 0);
        idt[vector].middle = handler >> 16;
        idt[vector].high = handler >> 32;
    }
    __asm__ volatile("lidt %0" :: "m"(idt_pointer));
}

/* The protections that CPUID offers, as bits of CR4. */
static u64 protections_offered(void)
{
    u32 eax = 0, ebx, ecx = 0, edx;

    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    if (eax < CPUID_FEATURES)
        return 0;
    eax = CPUID_FEATURES;
    ecx = 0;
    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    return (ecx >> CPUID_UMIP & 1) << CR4_UMIP | (ebx >> CPUID_SMEP & 1) << CR4_SMEP
        | (ebx >> CPUID_SMAP & 1) << CR4_SMAP;
}

/* Nonzero if the processor is in the state required by all later code. */
static int architecture_is_locked(void)
{
    struct table_pointer pointer;
    u16 cs, task;

    __asm__ volatile("movw %%cs, %0" : "=r"(cs));
    __asm__ volatile("str %0" : "=r"(task));
    __asm__ volatile("sidt %0" : "=m"(pointer));
    if (cs != KERNEL_CODE || task != TASK_STATE || pointer.base != (u64)idt || pointer.limit != sizeof idt - 1)
        return 0;
    __asm__ volatile("sgdt %0" : "=m"(pointer));
    if (pointer.base != (u64)gdt)
        return 0;
    if ((read_cr0() & CR0_PG_WP_PE) != CR0_PG_WP_PE || !(read_cr4() & CR4_PAE) || read_cr3() != PML4_ACTIVE)
        return 0;
    if ((read_cr4() & CR4_PROTECTIONS) != protections_offered())
        return 0;
    if ((read_msr(EFER) & EFER_NXE_LMA_LME) != EFER_NXE_LMA_LME)
        return 0;
    for (u32 vector = 0; vector < VECTORS; vector++)
        if (idt[vector].selector != KERNEL_CODE || !(idt[vector].attributes & 0x80))
            return 0;
    return tables_are_sound(PML4_ACTIVE);
}

/* Annihilate for what came before the IDT: early.S. A fault may have left the loader's modules where they were. */
static void mind_early_interrupts(void)
{
    if (early_fault) {
        if (scrub_engine_present) {
            scrub(0, TEXT_BASE);
            scrub(GUEST_STACK_BASE + GUEST_STACK_SIZE, RAM_SIZE - GUEST_STACK_BASE - GUEST_STACK_SIZE);
        }
        annihilate(CAUSE_KERNEL_FAULT, DETAIL_EARLY_FAULT);
    }
    if (early_nmi)
        annihilate(CAUSE_TAMPER, VECTOR_NMI);
}

/* The kernel is measured as loaded: before any of its data is written. */
void prot_entry(void)
{
    u8 kernel_digest[32] __attribute__((aligned(8)));

    digest((const void *)TEXT_BASE, data_end - (const u8 *)TEXT_BASE, kernel_digest);
    load_task_state();
    load_interrupt_descriptors();       /* until here early.S has served */
    phase_entered(PHASE_PROT_ENTRY);
    scrub_init();
    mind_early_interrupts();
    outb(0x21, 0xFF);                   /* mask both 8259s, if there are any */
    outb(0xA1, 0xFF);
    check(architecture_is_locked());
    read_options();
    check(options.engine != ENGINE_RESIDENT || tables_are_sound(PML4_RESIDENT));
    measure_boot(kernel_digest);
    phase_completed(PHASE_PROT_ENTRY, STATUS_ARCH_LOCKED);
}
