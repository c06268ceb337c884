/* The validator's two stacks, of operands' types and of blocks, and the side table (WebAssembly core specification,
   appendix: Validation Algorithm). */
#include "decoder.h"
#include "opcodes.h"

struct types parameters_of(const struct decoder *d, u32 type)
{
    return (struct types){d->bytes + d->types[type].parameters_at, d->types[type].parameters};
}

struct types results_of(const struct decoder *d, u32 type)
{
    return (struct types){d->bytes + d->types[type].results_at, d->types[type].results};
}

int push(struct decoder *d, u8 type)
{
    REQUIRE(d->height < LIMIT_HEIGHT, MANY_OPERANDS, d->instruction);
    d->operands[d->height++] = type;
    return 1;
}

/* Pop an operand of a type; UNKNOWN stands for any. After an unconditional branch there is any number of operands of
   unknown types. */
int pop(struct decoder *d, u8 expected, u8 *found)
{
    *found = UNKNOWN;
    if (d->height == d->frames->height) {
        REQUIRE(d->frames->is_unreachable, TYPE_MISMATCH, d->instruction);
        return 1;
    }
    *found = d->operands[--d->height];
    REQUIRE(*found == expected || *found == UNKNOWN || expected == UNKNOWN, TYPE_MISMATCH, d->instruction);
    return 1;
}

int pop_type(struct decoder *d, u8 type)
{
    u8 found;

    return pop(d, type, &found);
}

int push_all(struct decoder *d, struct types types)
{
    for (u32 i = 0; i < types.count; i++)
        TRY(push(d, types.list[i]));
    return 1;
}

int pop_all(struct decoder *d, struct types types)
{
    for (u32 i = types.count; i--;)
        TRY(pop_type(d, types.list[i]));
    return 1;
}

int push_frame(struct decoder *d, u8 opcode, struct types starts, struct types ends)
{
    TRY(temporary(d, 1, sizeof *d->frames, &d->frames));
    *d->frames = (struct frame){
        .starts = starts, .ends = ends, .height = d->height, .opcode = opcode,
        .body = d->at, .branches = d->module->branch_count,
    };
    return push_all(d, starts);
}

/* Leave the innermost block. Its results are on the stack, and nothing else of it. */
int pop_frame(struct decoder *d)
{
    TRY(pop_all(d, d->frames->ends));
    REQUIRE(d->height == d->frames->height, TYPE_MISMATCH, d->instruction);
    d->high = (u8 *)++d->frames;
    return 1;
}

/* The rest of the block is not reached. */
void unreachable(struct decoder *d)
{
    d->height = d->frames->height;
    d->frames->is_unreachable = 1;
}

struct types label_types(const struct frame *frame)
{
    return frame->opcode == LOOP ? frame->starts : frame->ends;
}

/* Add an entry to the side table for a branch of the current instruction. It keeps the label's operands, and drops what
   else the block has pushed. The target of a LOOP is known; other branches are linked until the END is reached. */
int take_branch(struct decoder *d, struct frame *to)
{
    u32 kept = label_types(to).count, above = d->height - to->height;
    struct branch *branch;

    TRY(permanent(d, 1, sizeof *branch, &branch));
    *branch = (struct branch){
        .to = (int)d->instruction + 1, .next = (int)to->pending,
        .carried = (u16)kept, .dropped = (u16)(above > kept ? above - kept : 0),
    };
    u32 number = ++d->module->branch_count;
    if (to->opcode == LOOP) {
        branch->to = (int)to->body - branch->to;
        branch->next = (int)to->branches - (int)(number - 1);
    } else {
        to->pending = number;
    }
    return 1;
}

/* A branch, given by 1 + its index, leads to the next instruction. */
void branch_arrives(struct decoder *d, u32 number)
{
    struct branch *branch = &d->branches[number - 1];

    branch->to = (int)d->at - branch->to;
    branch->next = (int)(d->module->branch_count - (number - 1));
}

/* All branches to the end of a block lead to the next instruction. */
void branches_arrive(struct decoder *d, struct frame *frame)
{
    for (u32 number = frame->pending; number;) {
        u32 earlier = (u32)d->branches[number - 1].next;
        branch_arrives(d, number);
        number = earlier;
    }
}

/* The type of a local that there is. Its group is the first one that ends after it. */
u8 local_type(const struct decoder *d, u32 index)
{
    u32 first = 0, last = d->group_count;

    if (index < d->parameters.count)
        return d->parameters.list[index];
    while (last - first > 1) {
        u32 middle = (first + last - 1) / 2;
        if (d->groups[middle].end <= index - d->parameters.count)
            first = middle + 1;
        else
            last = middle + 1;
    }
    return (u8)d->groups[first].type;
}
