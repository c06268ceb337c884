/* Shared by the kernel's C files. Freestanding, no vector registers, one processor, interrupts off in ring 0. */
#ifndef AETHER_KERNEL_H
#define AETHER_KERNEL_H
#include "layout.h"

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define NORETURN __attribute__((noreturn))
#define NOINLINE __attribute__((noinline))     /* called from many places that run once: less code to translate */

/* The words pushed by the processor and the stubs. */
struct trap_frame { u64 vector, error_code, rip, cs, rflags, rsp, ss; };
struct payload { u32 base, length; };

/* The command-line options. */
enum attestation { ATTESTATION_OFF, ATTESTATION_RECORD, ATTESTATION_REQUIRE };
enum engine { ENGINE_COPROCESSOR, ENGINE_NATIVE, ENGINE_RESIDENT };
enum verification { VERIFY_HOST, VERIFY_FIRMWARE };
struct options { u32 cycles, wake_ns, quantum_ns, arena_bytes, engine, attestation, verify, production; u8 sha256[32]; };

/* boot.S */
extern u64 gdt[7];
extern u8 boot_information[BOOT_INFORMATION_SIZE];
extern struct payload payloads[MODULES_MAX];
extern u32 payload_count;
/* early.S */
extern u8 early_nmi;
extern u32 early_fault;
/* link.ld */
extern const u8 data_end[];
/* interrupts.S, gate.S, dormant.S */
extern const u8 interrupt_stubs[VECTORS][16];
extern const u8 gate[];
void enter_guest(u64 rip, u64 rsp);
NORETURN void leave_guest(void);
void scrub_unused_stack(void);
void idle(void);
NORETURN void fall_dormant(u32 talk);
/* The phases: prot_entry.c, mem_map.c, wasm_init.c, exec_loop.c */
void prot_entry(void);
void mem_map(void);
void wasm_init(void);
NORETURN void exec_loop(void);
void wake(u32 reason);
void next_slice(void);
/* annihilate.c */
NORETURN void annihilate(u32 cause, u32 detail);
void check(int reached);
void scrub_failed(void);
/* report.c */
extern u32 status;
void phase_entered(u32 phase);
void phase_completed(u32 phase, u32 status_bit);
void print(const char *text);
void print_number(const char *what, u32 value);
void report_guest(u32 what, u32 payload, u32 number, u32 value);
/* scrub.c */
extern u8 scrub_engine_present;
void scrub_init(void);
void scrub(u32 base, u32 size);
int is_zero(u32 base, u32 size);
/* arena.c */
void arena_init(u32 size);
void *arena_allocate(u32 size);
u8 *arena_rest(u32 *size);
void clear_arena(void);
/* options.c */
extern struct options options;
const char *command_line(void);
void read_options(void);
/* audit.c */
int tables_are_sound(u64 pml4);
/* timer.c */
void timer_init(void);
void timer_arm(u32 ns, u32 vector);
void timer_stop(void);
void end_of_interrupt(void);
/* vmm.c */
int mailbox_answers(void);
int vmm_answers(void);
u32 mailbox(u32 command, u32 argument_0, u32 argument_1);
u32 vmm(u32 command, u32 argument_0, u32 argument_1);
u32 vmm_value(void);
/* tpm.c, tpm_commands.c */
extern u8 tpm_started;
u32 tpm_execute(const u8 *command, u32 length, u8 *response, u32 room);
int tpm_request(void);
void tpm_abandon(void);
void tpm_relinquish(void);
struct blob { u32 base, length; };
int tpm_startup(void);
int tpm_shutdown(void);
int tpm_extend(u32 pcr, const u8 *digest);
u32 tpm_create_key(u32 algorithm, u8 *response, struct blob *public);
int tpm_quote(u32 key, const u8 *data, u32 length, u8 *response, struct blob *attest, struct blob *signature);
/* measure.c */
extern u8 event_log[EVENT_LOG_SIZE];
extern u32 event_log_length;
void measure_boot(const u8 *kernel_digest);
void measure_range(u32 pcr, u32 base, u32 length, const char *name);
void measure_action(const char *action);
void cap_tpm(void);
/* attest.c */
void attest_init(void);
int attested(u32 cycle);
/* resident.c */
u32 resident(u32 command, u32 argument);
void resident_run(void);
void resident_trapped(const struct trap_frame *frame);
void scrub_resident(void);
/* signatures.c */
int kernel_verifies(void);
u32 signatures(u32 command, u32 base, u32 length);
/* native.c, digest.c, sha256.c */
u32 native(u32 command);
void forget_guest(void);
void digest(const void *data, u32 length, u8 *digest);
void sha256(const u8 *data, u32 length, u8 *digest);

static inline u32 load32(u32 address) { return *(volatile u32 *)(u64)address; }
static inline void store32(u32 address, u32 value) { *(volatile u32 *)(u64)address = value; }
static inline u64 load64(u32 address) { return *(volatile u64 *)(u64)address; }
static inline void store64(u32 address, u64 value) { *(volatile u64 *)(u64)address = value; }
static inline void outb(u16 port, u8 value) { __asm__ volatile("outb %0, %1" :: "a"(value), "Nd"(port)); }
static inline u8 inb(u16 port)
{
    u8 value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* Without a coprocessor, also print reports to the enclave block on the serial line. */
static inline void tell(const char *what, u32 value)
{
    if (options.engine != ENGINE_COPROCESSOR)
        print_number(what, value);
}

#define READ_REGISTER(name) \
    static inline u64 read_##name(void) { u64 v; __asm__ volatile("movq %%" #name ", %0" : "=r"(v)); return v; }
READ_REGISTER(cr0)
READ_REGISTER(cr2)
READ_REGISTER(cr3)
READ_REGISTER(cr4)

/* Between these two, ring 0 may access pages of ring 3. With SMAP off it always may, and STAC may be #UD. */
static inline void user_pages_open(void)
{
    if (read_cr4() & 1u << CR4_SMAP)
        __asm__ volatile("stac" ::: "memory");
}
static inline void user_pages_close(void)
{
    if (read_cr4() & 1u << CR4_SMAP)
        __asm__ volatile("clac" ::: "memory");
}
static inline void write_cr3(u64 value) { __asm__ volatile("movq %0, %%cr3" :: "r"(value) : "memory"); }
static inline u64 read_msr(u32 msr)
{
    u32 low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (u64)high << 32 | low;
}
#endif
