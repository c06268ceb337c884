/* The types of numeric and memory instructions (WebAssembly core specification, 3.3.1, 3.3.7). */
#include "decoder.h"
#include "opcodes.h"

#define UNARY(operand, result)  {1, operand, result}
#define BINARY(operand, result) {2, operand, result}

const struct signature numeric[256] = {
    [I32_EQZ] = UNARY(I32, I32),                    [I32_EQ ... I32_GE_U] = BINARY(I32, I32),
    [I64_EQZ] = UNARY(I64, I32),                    [I64_EQ ... I64_GE_U] = BINARY(I64, I32),
    [F32_EQ ... F32_GE] = BINARY(F32, I32),         [F64_EQ ... F64_GE] = BINARY(F64, I32),
    [I32_CLZ ... I32_POPCNT] = UNARY(I32, I32),     [I32_ADD ... I32_ROTR] = BINARY(I32, I32),
    [I64_CLZ ... I64_POPCNT] = UNARY(I64, I64),     [I64_ADD ... I64_ROTR] = BINARY(I64, I64),
    [F32_ABS ... F32_SQRT] = UNARY(F32, F32),       [F32_ADD ... F32_COPYSIGN] = BINARY(F32, F32),
    [F64_ABS ... F64_SQRT] = UNARY(F64, F64),       [F64_ADD ... F64_COPYSIGN] = BINARY(F64, F64),
    [I32_WRAP_I64] = UNARY(I64, I32),
    [I32_TRUNC_F32_S ... I32_TRUNC_F32_U] = UNARY(F32, I32),
    [I32_TRUNC_F64_S ... I32_TRUNC_F64_U] = UNARY(F64, I32),
    [I64_EXTEND_I32_S ... I64_EXTEND_I32_U] = UNARY(I32, I64),
    [I64_TRUNC_F32_S ... I64_TRUNC_F32_U] = UNARY(F32, I64),
    [I64_TRUNC_F64_S ... I64_TRUNC_F64_U] = UNARY(F64, I64),
    [F32_CONVERT_I32_S ... F32_CONVERT_I32_U] = UNARY(I32, F32),
    [F32_CONVERT_I64_S ... F32_CONVERT_I64_U] = UNARY(I64, F32),
    [F32_DEMOTE_F64] = UNARY(F64, F32),
    [F64_CONVERT_I32_S ... F64_CONVERT_I32_U] = UNARY(I32, F64),
    [F64_CONVERT_I64_S ... F64_CONVERT_I64_U] = UNARY(I64, F64),
    [F64_PROMOTE_F32] = UNARY(F32, F64),
    [I32_REINTERPRET_F32] = UNARY(F32, I32),        [I64_REINTERPRET_F64] = UNARY(F64, I64),
    [F32_REINTERPRET_I32] = UNARY(I32, F32),        [F64_REINTERPRET_I64] = UNARY(I64, F64),
    [I32_EXTEND8_S ... I32_EXTEND16_S] = UNARY(I32, I32),
    [I64_EXTEND8_S ... I64_EXTEND32_S] = UNARY(I64, I64),
};

/* After the prefix FC. */
const struct signature saturating[8] = {
    [I32_TRUNC_SAT_F32_S ... I32_TRUNC_SAT_F32_U] = UNARY(F32, I32),
    [I32_TRUNC_SAT_F64_S ... I32_TRUNC_SAT_F64_U] = UNARY(F64, I32),
    [I64_TRUNC_SAT_F32_S ... I64_TRUNC_SAT_F32_U] = UNARY(F32, I64),
    [I64_TRUNC_SAT_F64_S ... I64_TRUNC_SAT_F64_U] = UNARY(F64, I64),
};

/* The type of the value that a load or store moves, and the binary logarithm of its bytes in memory. */
const struct access accesses[256] = {
    [I32_LOAD] = {I32, 2}, [I64_LOAD] = {I64, 3}, [F32_LOAD] = {F32, 2}, [F64_LOAD] = {F64, 3},
    [I32_LOAD8_S ... I32_LOAD8_U] = {I32, 0}, [I32_LOAD16_S ... I32_LOAD16_U] = {I32, 1},
    [I64_LOAD8_S ... I64_LOAD8_U] = {I64, 0}, [I64_LOAD16_S ... I64_LOAD16_U] = {I64, 1},
    [I64_LOAD32_S ... I64_LOAD32_U] = {I64, 2},
    [I32_STORE] = {I32, 2}, [I64_STORE] = {I64, 3}, [F32_STORE] = {F32, 2}, [F64_STORE] = {F64, 3},
    [I32_STORE8] = {I32, 0}, [I32_STORE16] = {I32, 1},
    [I64_STORE8] = {I64, 0}, [I64_STORE16] = {I64, 1}, [I64_STORE32] = {I64, 2},
};
