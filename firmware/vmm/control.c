/* The validation of control instructions (WebAssembly core specification, 3.3.8 and 5.4.1). */
#include "decoder.h"
#include "opcodes.h"

static int read_block_type(struct decoder *d, struct types *starts, struct types *ends)
{
    u32 index, start = d->at;
    u8 byte;

    *starts = *ends = (struct types){0};
    TRY(read_byte(d, &byte));
    if (byte == BLOCK_EMPTY)
        return 1;
    if (byte >= F64 && byte <= I32) {
        *ends = (struct types){d->bytes + start, 1};
        return 1;
    }
    d->at = start;
    TRY(read_block_index(d, &index));
    REQUIRE(index < d->module->type_count, UNKNOWN_TYPE, d->instruction);
    *starts = parameters_of(d, index);
    *ends = results_of(d, index);
    return 1;
}

int block(struct decoder *d, u8 opcode)
{
    struct types starts, ends;
    u32 branch = 0;

    TRY(read_block_type(d, &starts, &ends));
    if (opcode == IF)
        TRY(pop_type(d, I32));
    TRY(pop_all(d, starts));
    TRY(push_frame(d, opcode, starts, ends));
    if (opcode == IF) {     /* its branch is not to the label, so it is not linked with those */
        TRY(take_branch(d, d->frames));
        branch = d->frames->pending;
        d->frames->pending = 0;
    }
    d->frames->otherwise = branch;
    return 1;
}

/* The end of the first part of an IF: it continues after the END, and a condition of 0 here. */
int else_part(struct decoder *d)
{
    struct frame frame = *d->frames;

    REQUIRE(frame.opcode == IF && frame.otherwise, ELSE_ALONE, d->instruction);
    TRY(take_branch(d, d->frames));
    frame.pending = d->frames->pending;
    TRY(pop_frame(d));
    TRY(push_frame(d, IF, frame.starts, frame.ends));
    branch_arrives(d, frame.otherwise);
    d->frames->pending = frame.pending;
    return 1;
}

static int same(struct types a, struct types b)
{
    if (a.count != b.count)
        return 0;
    for (u32 i = 0; i < a.count; i++)
        if (a.list[i] != b.list[i])
            return 0;
    return 1;
}

/* The end of a block. In the function's own block a branch leads to this END, which returns. */
int end(struct decoder *d)
{
    struct frame frame = *d->frames;
    u32 after = d->at;

    TRY(pop_frame(d));
    if (frame.otherwise) {
        REQUIRE(same(frame.starts, frame.ends), TYPE_MISMATCH, d->instruction);
        branch_arrives(d, frame.otherwise);
    }
    if (d->frames > d->outermost)
        d->at = d->instruction;
    branches_arrive(d, &frame);
    d->at = after;
    return push_all(d, frame.ends);
}

static int read_label(struct decoder *d, struct frame **frame)
{
    u32 label;

    TRY(read_u32(d, &label));
    REQUIRE(label <= d->outermost - d->frames, UNKNOWN_LABEL, d->instruction);
    *frame = d->frames + label;
    return 1;
}

/* The operands of a label are on the stack, and stay there. */
int branch(struct decoder *d, int is_conditional)
{
    struct frame *frame;

    TRY(read_label(d, &frame));
    if (is_conditional)
        TRY(pop_type(d, I32));
    struct types types = label_types(frame);
    TRY(pop_all(d, types));
    TRY(push_all(d, types));
    TRY(take_branch(d, frame));
    if (!is_conditional)
        unreachable(d);
    return 1;
}

/* The results are on the stack, on top of anything else. */
int return_(struct decoder *d)
{
    TRY(pop_all(d, d->outermost->ends));
    unreachable(d);
    return 1;
}

/* The operands must suit each label. Where they are unknown, they stay so. */
int branch_table(struct decoder *d)
{
    u32 count, start = d->at, height, arity = 0;
    struct frame *frame;

    TRY(pop_type(d, I32));
    height = d->height;
    TRY(read_count(d, 1, &count));
    REQUIRE(count <= LIMIT_LABELS, MANY_LABELS, start);
    for (u32 i = 0; i <= count; i++) {
        TRY(read_label(d, &frame));
        if (i == 0)
            arity = label_types(frame).count;
        REQUIRE(label_types(frame).count == arity, TYPE_MISMATCH, d->instruction);
        TRY(pop_all(d, label_types(frame)));
        d->height = height;
        TRY(take_branch(d, frame));
    }
    unreachable(d);
    return 1;
}

static int call_type(struct decoder *d, u32 type)
{
    TRY(pop_all(d, parameters_of(d, type)));
    return push_all(d, results_of(d, type));
}

int direct_call(struct decoder *d)
{
    u32 function;

    TRY(read_u32(d, &function));
    REQUIRE(function < d->module->function_count, UNKNOWN_FUNCTION, d->instruction);
    return call_type(d, d->functions[function].type);
}

/* The table's index is an integer that may be padded. */
int call_indirect(struct decoder *d)
{
    u32 type, table;

    TRY(read_u32(d, &type));
    TRY(read_u32(d, &table));
    REQUIRE(table == 0 && d->module->has_table, UNKNOWN_TABLE, d->instruction);
    REQUIRE(type < d->module->type_count, UNKNOWN_TYPE, d->instruction);
    TRY(pop_type(d, I32));
    return call_type(d, type);
}
