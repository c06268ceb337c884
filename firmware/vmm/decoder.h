/* The decoder and validator, which reads a module once, from its first byte to its last, and rejects it at the first
   fault. Ring 0; no floating point, no recursion.

   A check is one REQUIRE, and stands in one place; one of the guest profile is an OBEY. Functions return 1, or 0 if the module is rejected; TRY passes a 0
   on. So nothing is done after a fault. Every size read from the module is compared with what is there before it is
   used; products and sums of such sizes are computed in 64 bits. */
#ifndef AETHER_DECODER_H
#define AETHER_DECODER_H
#include "reasons.h"
#include "vmm.h"

#ifndef HOLDS
#define HOLDS(condition) (condition)    /* tests replace it, to remove one check at a time */
#endif
#define REQUIRE(condition, reason, offset) \
    do { \
        if (!HOLDS(condition)) \
            return reject(d, REASON_##reason, offset); \
    } while (0)
#define OBEY(condition, reason, offset) \
    do { \
        if (!HOLDS(condition)) \
            breach(d, REASON_##reason, offset); \
    } while (0)
#define TRY(done) \
    do { \
        if (!(done)) \
            return 0; \
    } while (0)

#define UNKNOWN 0           /* the type of an operand in unreachable code */

/* A vector of value types in the module. */
struct types { const u8 *list; u32 count; };

/* Locals of one type, and the number of locals up to the last of them. */
struct group { u32 end, type; };

/* A block in whose body the validator is (specification, appendix: Validation Algorithm). */
struct frame {
    struct types starts, ends;
    u32 height;             /* operands under it */
    u32 pending;            /* 1 + index of the last branch to its end, which links to the one before; 0: none */
    u32 otherwise;          /* IF: 1 + index of the branch that it takes if the condition is 0, while it has no ELSE */
    u32 body, branches;     /* LOOP: where a branch to it continues, and the first entry of the side table there */
    u8 opcode, is_unreachable;
};

/* The arena is used from both ends. The module's tables grow upwards from `low`, and remain; what only the validator
   needs grows downwards from `high`. Nothing is freed but the latter, at the end. */
struct decoder {
    struct rejection rejection;
    struct module *module;
    const u8 *bytes;
    u32 at, end;            /* the next byte; the end of the section, of the function body, or of the module */
    u8 *low, *high;
    u32 instruction;        /* the offset of the current instruction */

    struct type *types;
    struct function *functions;
    struct global *globals;
    u32 *elements;
    u32 bodies;             /* function bodies read */
    u32 data_count;
    u8 has_data_count, has_entry;
    struct rejection contract;          /* the first breach, reported unless the module is not valid WebAssembly */

    struct branch *branches;
    struct types parameters;            /* of the function: its first locals */
    const struct group *groups;         /* its other locals */
    u32 group_count, local_count, height;
    u8 *operands;                       /* the types of its operands, LIMIT_HEIGHT at most */
    struct frame *frames, *outermost;   /* downwards: frames[0] is the innermost, `outermost` that of the function */
};

/* reader.c */
int reject(struct decoder *d, u32 reason, u32 offset);
int read_byte(struct decoder *d, u8 *value);
int read_u32(struct decoder *d, u32 *value);
int read_i32(struct decoder *d, u32 *value);
int read_i64(struct decoder *d, u64 *value);
int read_block_index(struct decoder *d, u32 *value);
int read_fixed(struct decoder *d, u32 size, u64 *value);
int read_count(struct decoder *d, u32 least, u32 *count);
int read_text(struct decoder *d, u32 *at, u32 *length);
int read_name(struct decoder *d, u32 *at, u32 *length);
int read_value_type(struct decoder *d, u8 *type);
int pass_over(struct decoder *d, u32 length);
void breach(struct decoder *d, u32 reason, u32 offset);
int permanent(struct decoder *d, u32 count, u32 size, void *allocated);
int temporary(struct decoder *d, u32 count, u32 size, void *allocated);
/* declarations.c, exports.c, segments.c, code.c: the sections, in the order of the module */
int type_section(struct decoder *d);
int import_section(struct decoder *d);
int function_section(struct decoder *d);
int table_section(struct decoder *d);
int memory_section(struct decoder *d);
int global_section(struct decoder *d);
int export_section(struct decoder *d);
int start_section(struct decoder *d);
int element_section(struct decoder *d);
int data_count_section(struct decoder *d);
int code_section(struct decoder *d);
int data_section(struct decoder *d);
/* constants.c, contract.c */
int read_constant(struct decoder *d, u8 type, u64 *value);
u32 contract_import(struct decoder *d, u32 module_at, u32 module_length, u32 name_at, u32 name_length, u32 type);
int is_entry(const struct decoder *d, u32 name_at, u32 name_length);
/* operands.c */
struct types one_type(const u8 *type);
struct types parameters_of(const struct decoder *d, u32 type);
struct types results_of(const struct decoder *d, u32 type);
int push(struct decoder *d, u8 type);
int pop(struct decoder *d, u8 expected, u8 *found);
int pop_type(struct decoder *d, u8 type);
int push_all(struct decoder *d, struct types types);
int pop_all(struct decoder *d, struct types types);
int push_frame(struct decoder *d, u8 opcode, struct types starts, struct types ends);
int pop_frame(struct decoder *d);
void unreachable(struct decoder *d);
struct types label_types(const struct frame *frame);
int take_branch(struct decoder *d, struct frame *to);
void branch_arrives(struct decoder *d, u32 branch);
void branches_arrive(struct decoder *d, struct frame *frame);
u8 local_type(const struct decoder *d, u32 index);
/* control.c, instructions.c */
int block(struct decoder *d, u8 opcode);
int else_part(struct decoder *d);
int end(struct decoder *d);
int branch(struct decoder *d, int is_conditional);
int branch_table(struct decoder *d);
int return_(struct decoder *d);
int direct_call(struct decoder *d);
int call_indirect(struct decoder *d);
int instruction(struct decoder *d);
/* tables of instructions: signatures.c */
struct signature { u8 operands, operand, result; };
struct access { u8 type, exponent; };
extern const struct signature numeric[], saturating[];
extern const struct access accesses[];
#endif
