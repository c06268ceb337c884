/* The validation of one instruction (WebAssembly core specification, 3.3 and 5.4). */
#include "decoder.h"
#include "opcodes.h"

static int select(struct decoder *d)
{
    u8 second, first;

    TRY(pop_type(d, I32));
    TRY(pop(d, UNKNOWN, &second));
    TRY(pop(d, second, &first));
    return push(d, first == UNKNOWN ? second : first);
}

static int local(struct decoder *d, u8 opcode)
{
    u32 index;

    TRY(read_u32(d, &index));
    REQUIRE(index < d->parameters.count + d->local_count, UNKNOWN_LOCAL, d->instruction);
    u8 type = local_type(d, index);
    if (opcode != LOCAL_GET)
        TRY(pop_type(d, type));
    return opcode == LOCAL_SET || push(d, type);
}

static int global(struct decoder *d, u8 opcode)
{
    u32 index;

    TRY(read_u32(d, &index));
    REQUIRE(index < d->module->global_count, UNKNOWN_GLOBAL, d->instruction);
    if (opcode == GLOBAL_GET)
        return push(d, d->globals[index].type);
    REQUIRE(d->globals[index].is_mutable, IMMUTABLE, d->instruction);
    return pop_type(d, d->globals[index].type);
}

/* The alignment is a hint, but it must not exceed the natural one. The offset is added to the address. */
static int access(struct decoder *d, u8 opcode)
{
    struct access access = accesses[opcode];
    u32 exponent, offset;

    TRY(read_u32(d, &exponent));
    TRY(read_u32(d, &offset));
    REQUIRE(exponent < 64, MEMORY_FLAGS, d->instruction);
    REQUIRE(d->module->has_memory, UNKNOWN_MEMORY, d->instruction);
    REQUIRE(exponent <= access.exponent, ALIGNMENT, d->instruction);
    if (opcode >= I32_STORE)
        TRY(pop_type(d, access.type));
    TRY(pop_type(d, I32));
    return opcode >= I32_STORE || push(d, access.type);
}

/* MEMORY.SIZE and MEMORY.GROW name the memory by a byte that is zero. */
static int memory_size(struct decoder *d, u8 opcode)
{
    u8 index;

    TRY(read_byte(d, &index));
    REQUIRE(index == 0, ZERO_EXPECTED, d->at - 1);
    REQUIRE(d->module->has_memory, UNKNOWN_MEMORY, d->instruction);
    if (opcode == MEMORY_GROW)
        TRY(pop_type(d, I32));
    return push(d, I32);
}

/* MEMORY.FILL and MEMORY.COPY name one memory or two by an integer, which may be padded. */
static int bulk_memory(struct decoder *d, u32 memories)
{
    u32 index;

    for (u32 i = 0; i < memories; i++) {
        TRY(read_u32(d, &index));
        REQUIRE(index == 0 && d->module->has_memory, UNKNOWN_MEMORY, d->instruction);
    }
    for (u32 i = 0; i < 3; i++)
        TRY(pop_type(d, I32));
    return 1;
}

static int operate(struct decoder *d, struct signature signature)
{
    REQUIRE(signature.operands, OPCODE, d->instruction);
    for (u32 i = 0; i < signature.operands; i++)
        TRY(pop_type(d, signature.operand));
    return push(d, signature.result);
}

static int prefixed(struct decoder *d)
{
    u32 opcode;

    TRY(read_u32(d, &opcode));
    if (opcode == MEMORY_COPY || opcode == MEMORY_FILL)
        return bulk_memory(d, opcode == MEMORY_COPY ? 2 : 1);
    REQUIRE(opcode <= I64_TRUNC_SAT_F64_U, OPCODE, d->instruction);
    return operate(d, saturating[opcode]);
}

static int constant(struct decoder *d, u8 opcode)
{
    u32 narrow;
    u64 wide;

    switch (opcode) {
    case I32_CONST:
        TRY(read_i32(d, &narrow));
        return push(d, I32);
    case I64_CONST:
        TRY(read_i64(d, &wide));
        return push(d, I64);
    case F32_CONST:
        TRY(pass_over(d, 4));
        return push(d, F32);
    default:
        TRY(pass_over(d, 8));
        return push(d, F64);
    }
}

int instruction(struct decoder *d)
{
    u8 opcode;

    TRY(read_byte(d, &opcode));
    switch (opcode) {
    case NOP:
        return 1;
    case UNREACHABLE:
        unreachable(d);
        return 1;
    case BLOCK: case LOOP: case IF:
        return block(d, opcode);
    case ELSE:
        return else_part(d);
    case END:
        return end(d);
    case BR: case BR_IF:
        return branch(d, opcode == BR_IF);
    case BR_TABLE:
        return branch_table(d);
    case RETURN:
        return return_(d);
    case CALL:
        return direct_call(d);
    case CALL_INDIRECT:
        return call_indirect(d);
    case DROP:
        return pop_type(d, UNKNOWN);
    case SELECT:
        return select(d);
    case LOCAL_GET: case LOCAL_SET: case LOCAL_TEE:
        return local(d, opcode);
    case GLOBAL_GET: case GLOBAL_SET:
        return global(d, opcode);
    case MEMORY_SIZE: case MEMORY_GROW:
        return memory_size(d, opcode);
    case I32_CONST: case I64_CONST: case F32_CONST: case F64_CONST:
        return constant(d, opcode);
    case PREFIX:
        return prefixed(d);
    }
    if (opcode >= I32_LOAD && opcode <= I64_STORE32)
        return access(d, opcode);
    return operate(d, numeric[opcode]);
}
