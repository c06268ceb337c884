/* AetherHost's virtual machine monitor: what its two halves share.

   Ring 0 decodes and validates a module completely (decoder.h), and writes the tables below into the bump arena. Then
   ring 3 executes the module in place, over its own bytes (interpreter.c). All that is `const` here is read-only for
   ring 3; it writes nothing but the four memories of `struct guest`. */
#ifndef AETHER_VMM_H
#define AETHER_VMM_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

/* Value types (WebAssembly core specification, 5.3.1). */
enum value_type { I32 = 0x7F, I64 = 0x7E, F32 = 0x7D, F64 = 0x7C };
#define FUNCREF             0x70
#define FUNCTION_TYPE       0x60

/* Limits of this implementation. The first five are those of wasmtime, so that both accept the same modules; the next
   three are the guest profile's; the last two are ours: a branch counts cells in 16 bits. Everything else is limited by
   the arena. */
#define LIMIT_PARAMETERS    1000
#define LIMIT_RESULTS       1000
#define LIMIT_LOCALS        50000       /* of a function, with its parameters */
#define LIMIT_LABELS        65520       /* of one BR_TABLE, without the default */
#define LIMIT_NAME          100000      /* bytes */
#define LIMIT_PAGES         64          /* of linear memory: the guest heap */
#define LIMIT_ELEMENTS      65536       /* of the table */
#define LIMIT_MODULE        0x200000    /* bytes: the staging area */
#define LIMIT_HEIGHT        65535       /* operands of a function at one time */
#define LIMIT_GLOBALS       8192        /* the memory for them */

#define PAGE_BYTES          65536
#define NO_FUNCTION         0xFFFFFFFF  /* an element of the table that is null */

/* A function type. The types themselves stay in the module, a byte for each. */
struct type { u32 parameters_at, results_at; u16 parameters, results; };

/* A function: imported, or defined by a body in the module. */
struct function {
    u32 type;
    u32 at, end;            /* offsets of its first instruction and of the byte after its last END; 0 if imported */
    u32 branches;           /* index of its first branch in the side table */
    u32 locals;             /* declared locals, without parameters; of an imported function, the number of its call */
    u16 parameters, results;
};

/* The side table: one entry for each branch that may be taken, in the order of their instructions. BR_TABLE has an
   entry for each of its labels, the default last. IF has one, to its ELSE or END, and so has ELSE, to its END. */
struct branch {
    int to;                 /* bytes from the byte after the branch's opcode to where execution continues */
    int next;               /* from this entry to the first entry at or after that place */
    u16 carried, dropped;   /* operands: the number of values that are kept, and the number under them that is not */
};

struct global { u64 initial; u8 type, is_mutable; };
struct segment { u32 offset, at, length; };     /* bytes of the module for linear memory */

/* A valid module. */
struct module {
    const u8 *bytes;
    u32 length;
    u32 type_count, function_count, imported_functions, global_count, imported_globals, segment_count;
    const struct type *types;
    const struct function *functions;
    const struct branch *branches;
    const struct global *globals;
    const struct segment *segments;
    const u32 *elements;    /* indices of functions, or NO_FUNCTION */
    u32 element_count, pages;
    u32 entry;              /* index of the function exported as _start */
    u8 has_table, has_memory, has_start;
    u8 elements_trap;       /* an element segment does not fit: instantiation traps */
    u32 branch_count;
};

/* An active call, as the caller is to be continued. */
struct call {
    const u8 *ip;
    const struct branch *branch;
    u64 *locals;
    const struct function *function;
};

/* A guest: a module, and the only memories that ring 3 may write. Inaccessible pages surround each of them, and the 8 GiB
   after the linear memory hold nothing that ring 3 can access. */
struct guest {
    const struct module *module;
    u8 *memory;
    u64 *globals;
    u64 *values;            /* locals and operands, a cell each, upwards */
    struct call *calls;     /* upwards */
};

/* Why a module is rejected (reasons.h), and the offset of the byte or instruction that is at fault. */
struct rejection { u32 reason, offset; };

/* Ring 0: decode and validate. Returns the rejection; its reason is 0 for a valid module. The base
   of the arena is a multiple of 8; `arena_used` is how much of it then belongs to the module. */
struct rejection validate(struct module *module, const u8 *bytes, u32 length, u8 *arena, u32 arena_size,
                          u32 *arena_used);
/* Ring 3: initialise globals and linear memory, which are zero, and execute _start. */
void run(const struct guest *guest);
/* Ring 3: call the host: INT 80h on the machine, a function of the test harness elsewhere. */
u64 ask_host(u64 number, u64 argument);
#endif
