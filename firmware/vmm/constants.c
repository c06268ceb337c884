/* Constant expressions, validated and evaluated at once (WebAssembly core specification, 3.3.10; Lime1 extends them
   with integer arithmetic). They refer to imported globals only, which no guest may have, so every value is known. */
#include "decoder.h"
#include "opcodes.h"

/* Operands, downwards from the end of the arena. */
struct operand { u64 value; u64 type; };

static int push_constant(struct decoder *d, u8 type, u64 value)
{
    struct operand *operand;

    TRY(temporary(d, 1, sizeof *operand, &operand));
    *operand = (struct operand){value, type};
    return 1;
}

static int read_global(struct decoder *d)
{
    u32 index;

    TRY(read_u32(d, &index));
    REQUIRE(index < d->module->imported_globals, UNKNOWN_GLOBAL, d->instruction);
    REQUIRE(!d->globals[index].is_mutable, NOT_CONSTANT, d->instruction);
    return push_constant(d, d->globals[index].type, 0);
}

static u64 arithmetic(u8 opcode, u64 left, u64 right)
{
    switch (opcode) {
    case I32_ADD: return (u32)(left + right);
    case I32_SUB: return (u32)(left - right);
    case I32_MUL: return (u32)(left * right);
    case I64_ADD: return left + right;
    case I64_SUB: return left - right;
    default:      return left * right;
    }
}

static int binary(struct decoder *d, u8 opcode, u8 type, const u8 *floor)
{
    struct operand *right = (struct operand *)d->high, *left = right + 1;

    REQUIRE((const u8 *)(left + 1) <= floor, TYPE_MISMATCH, d->instruction);
    REQUIRE(left->type == type && right->type == type, TYPE_MISMATCH, d->instruction);
    left->value = arithmetic(opcode, left->value, right->value);
    d->high = (u8 *)left;
    return 1;
}

static int read_operand(struct decoder *d, u8 opcode, const u8 *floor)
{
    u64 value;
    u32 narrow;

    switch (opcode) {
    case I32_CONST:
        TRY(read_i32(d, &narrow));
        return push_constant(d, I32, narrow);
    case I64_CONST:
        TRY(read_i64(d, &value));
        return push_constant(d, I64, value);
    case F32_CONST:
        TRY(read_fixed(d, 4, &value));
        return push_constant(d, F32, value);
    case F64_CONST:
        TRY(read_fixed(d, 8, &value));
        return push_constant(d, F64, value);
    case GLOBAL_GET:
        return read_global(d);
    case I32_ADD: case I32_SUB: case I32_MUL:
        return binary(d, opcode, I32, floor);
    case I64_ADD: case I64_SUB: case I64_MUL:
        return binary(d, opcode, I64, floor);
    }
    return reject(d, REASON_NOT_CONSTANT, d->instruction);
}

int read_constant(struct decoder *d, u8 type, u64 *value)
{
    u8 *floor = d->high, opcode;

    for (;;) {
        d->instruction = d->at;
        TRY(read_byte(d, &opcode));
        if (opcode == END)
            break;
        TRY(read_operand(d, opcode, floor));
    }
    const struct operand *result = (const struct operand *)d->high;
    REQUIRE((const u8 *)(result + 1) == floor, TYPE_MISMATCH, d->instruction);
    REQUIRE(result->type == type, TYPE_MISMATCH, d->instruction);
    *value = result->value;
    d->high = floor;
    return 1;
}
