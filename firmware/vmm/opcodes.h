/* The instructions of the guest profile (WebAssembly core specification, 5.4): opcode, name, label in interpreter.c.
   It is WebAssembly 1.0 with what Lime1 adds: sign extension, saturating conversions, MEMORY.COPY and MEMORY.FILL. */
#ifndef AETHER_OPCODES_H
#define AETHER_OPCODES_H
#define OPCODES(OPCODE) \
    OPCODE(0x00, UNREACHABLE, unreachable) OPCODE(0x01, NOP, nop) OPCODE(0x02, BLOCK, block) \
    OPCODE(0x03, LOOP, loop) OPCODE(0x04, IF, if) OPCODE(0x05, ELSE, else) OPCODE(0x0B, END, end) \
    OPCODE(0x0C, BR, br) OPCODE(0x0D, BR_IF, br_if) OPCODE(0x0E, BR_TABLE, br_table) OPCODE(0x0F, RETURN, return) \
    OPCODE(0x10, CALL, call) OPCODE(0x11, CALL_INDIRECT, call_indirect) OPCODE(0x1A, DROP, drop) \
    OPCODE(0x1B, SELECT, select) OPCODE(0x20, LOCAL_GET, local_get) OPCODE(0x21, LOCAL_SET, local_set) \
    OPCODE(0x22, LOCAL_TEE, local_tee) OPCODE(0x23, GLOBAL_GET, global_get) OPCODE(0x24, GLOBAL_SET, global_set) \
    OPCODE(0x28, I32_LOAD, i32_load) OPCODE(0x29, I64_LOAD, i64_load) OPCODE(0x2A, F32_LOAD, f32_load) \
    OPCODE(0x2B, F64_LOAD, f64_load) OPCODE(0x2C, I32_LOAD8_S, i32_load8_s) OPCODE(0x2D, I32_LOAD8_U, i32_load8_u) \
    OPCODE(0x2E, I32_LOAD16_S, i32_load16_s) OPCODE(0x2F, I32_LOAD16_U, i32_load16_u) \
    OPCODE(0x30, I64_LOAD8_S, i64_load8_s) OPCODE(0x31, I64_LOAD8_U, i64_load8_u) \
    OPCODE(0x32, I64_LOAD16_S, i64_load16_s) OPCODE(0x33, I64_LOAD16_U, i64_load16_u) \
    OPCODE(0x34, I64_LOAD32_S, i64_load32_s) OPCODE(0x35, I64_LOAD32_U, i64_load32_u) \
    OPCODE(0x36, I32_STORE, i32_store) OPCODE(0x37, I64_STORE, i64_store) OPCODE(0x38, F32_STORE, f32_store) \
    OPCODE(0x39, F64_STORE, f64_store) OPCODE(0x3A, I32_STORE8, i32_store8) OPCODE(0x3B, I32_STORE16, i32_store16) \
    OPCODE(0x3C, I64_STORE8, i64_store8) OPCODE(0x3D, I64_STORE16, i64_store16) \
    OPCODE(0x3E, I64_STORE32, i64_store32) OPCODE(0x3F, MEMORY_SIZE, memory_size) \
    OPCODE(0x40, MEMORY_GROW, memory_grow) OPCODE(0x41, I32_CONST, i32_const) OPCODE(0x42, I64_CONST, i64_const) \
    OPCODE(0x43, F32_CONST, f32_const) OPCODE(0x44, F64_CONST, f64_const) OPCODE(0x45, I32_EQZ, i32_eqz) \
    OPCODE(0x46, I32_EQ, i32_eq) OPCODE(0x47, I32_NE, i32_ne) OPCODE(0x48, I32_LT_S, i32_lt_s) \
    OPCODE(0x49, I32_LT_U, i32_lt_u) OPCODE(0x4A, I32_GT_S, i32_gt_s) OPCODE(0x4B, I32_GT_U, i32_gt_u) \
    OPCODE(0x4C, I32_LE_S, i32_le_s) OPCODE(0x4D, I32_LE_U, i32_le_u) OPCODE(0x4E, I32_GE_S, i32_ge_s) \
    OPCODE(0x4F, I32_GE_U, i32_ge_u) OPCODE(0x50, I64_EQZ, i64_eqz) OPCODE(0x51, I64_EQ, i64_eq) \
    OPCODE(0x52, I64_NE, i64_ne) OPCODE(0x53, I64_LT_S, i64_lt_s) OPCODE(0x54, I64_LT_U, i64_lt_u) \
    OPCODE(0x55, I64_GT_S, i64_gt_s) OPCODE(0x56, I64_GT_U, i64_gt_u) OPCODE(0x57, I64_LE_S, i64_le_s) \
    OPCODE(0x58, I64_LE_U, i64_le_u) OPCODE(0x59, I64_GE_S, i64_ge_s) OPCODE(0x5A, I64_GE_U, i64_ge_u) \
    OPCODE(0x5B, F32_EQ, f32_eq) OPCODE(0x5C, F32_NE, f32_ne) OPCODE(0x5D, F32_LT, f32_lt) \
    OPCODE(0x5E, F32_GT, f32_gt) OPCODE(0x5F, F32_LE, f32_le) OPCODE(0x60, F32_GE, f32_ge) \
    OPCODE(0x61, F64_EQ, f64_eq) OPCODE(0x62, F64_NE, f64_ne) OPCODE(0x63, F64_LT, f64_lt) \
    OPCODE(0x64, F64_GT, f64_gt) OPCODE(0x65, F64_LE, f64_le) OPCODE(0x66, F64_GE, f64_ge) \
    OPCODE(0x67, I32_CLZ, i32_clz) OPCODE(0x68, I32_CTZ, i32_ctz) OPCODE(0x69, I32_POPCNT, i32_popcnt) \
    OPCODE(0x6A, I32_ADD, i32_add) OPCODE(0x6B, I32_SUB, i32_sub) OPCODE(0x6C, I32_MUL, i32_mul) \
    OPCODE(0x6D, I32_DIV_S, i32_div_s) OPCODE(0x6E, I32_DIV_U, i32_div_u) OPCODE(0x6F, I32_REM_S, i32_rem_s) \
    OPCODE(0x70, I32_REM_U, i32_rem_u) OPCODE(0x71, I32_AND, i32_and) OPCODE(0x72, I32_OR, i32_or) \
    OPCODE(0x73, I32_XOR, i32_xor) OPCODE(0x74, I32_SHL, i32_shl) OPCODE(0x75, I32_SHR_S, i32_shr_s) \
    OPCODE(0x76, I32_SHR_U, i32_shr_u) OPCODE(0x77, I32_ROTL, i32_rotl) OPCODE(0x78, I32_ROTR, i32_rotr) \
    OPCODE(0x79, I64_CLZ, i64_clz) OPCODE(0x7A, I64_CTZ, i64_ctz) OPCODE(0x7B, I64_POPCNT, i64_popcnt) \
    OPCODE(0x7C, I64_ADD, i64_add) OPCODE(0x7D, I64_SUB, i64_sub) OPCODE(0x7E, I64_MUL, i64_mul) \
    OPCODE(0x7F, I64_DIV_S, i64_div_s) OPCODE(0x80, I64_DIV_U, i64_div_u) OPCODE(0x81, I64_REM_S, i64_rem_s) \
    OPCODE(0x82, I64_REM_U, i64_rem_u) OPCODE(0x83, I64_AND, i64_and) OPCODE(0x84, I64_OR, i64_or) \
    OPCODE(0x85, I64_XOR, i64_xor) OPCODE(0x86, I64_SHL, i64_shl) OPCODE(0x87, I64_SHR_S, i64_shr_s) \
    OPCODE(0x88, I64_SHR_U, i64_shr_u) OPCODE(0x89, I64_ROTL, i64_rotl) OPCODE(0x8A, I64_ROTR, i64_rotr) \
    OPCODE(0x8B, F32_ABS, f32_abs) OPCODE(0x8C, F32_NEG, f32_neg) OPCODE(0x8D, F32_CEIL, f32_ceil) \
    OPCODE(0x8E, F32_FLOOR, f32_floor) OPCODE(0x8F, F32_TRUNC, f32_trunc) OPCODE(0x90, F32_NEAREST, f32_nearest) \
    OPCODE(0x91, F32_SQRT, f32_sqrt) OPCODE(0x92, F32_ADD, f32_add) OPCODE(0x93, F32_SUB, f32_sub) \
    OPCODE(0x94, F32_MUL, f32_mul) OPCODE(0x95, F32_DIV, f32_div) OPCODE(0x96, F32_MIN, f32_min) \
    OPCODE(0x97, F32_MAX, f32_max) OPCODE(0x98, F32_COPYSIGN, f32_copysign) OPCODE(0x99, F64_ABS, f64_abs) \
    OPCODE(0x9A, F64_NEG, f64_neg) OPCODE(0x9B, F64_CEIL, f64_ceil) OPCODE(0x9C, F64_FLOOR, f64_floor) \
    OPCODE(0x9D, F64_TRUNC, f64_trunc) OPCODE(0x9E, F64_NEAREST, f64_nearest) OPCODE(0x9F, F64_SQRT, f64_sqrt) \
    OPCODE(0xA0, F64_ADD, f64_add) OPCODE(0xA1, F64_SUB, f64_sub) OPCODE(0xA2, F64_MUL, f64_mul) \
    OPCODE(0xA3, F64_DIV, f64_div) OPCODE(0xA4, F64_MIN, f64_min) OPCODE(0xA5, F64_MAX, f64_max) \
    OPCODE(0xA6, F64_COPYSIGN, f64_copysign) OPCODE(0xA7, I32_WRAP_I64, i32_wrap_i64) \
    OPCODE(0xA8, I32_TRUNC_F32_S, i32_trunc_f32_s) OPCODE(0xA9, I32_TRUNC_F32_U, i32_trunc_f32_u) \
    OPCODE(0xAA, I32_TRUNC_F64_S, i32_trunc_f64_s) OPCODE(0xAB, I32_TRUNC_F64_U, i32_trunc_f64_u) \
    OPCODE(0xAC, I64_EXTEND_I32_S, i64_extend_i32_s) OPCODE(0xAD, I64_EXTEND_I32_U, i64_extend_i32_u) \
    OPCODE(0xAE, I64_TRUNC_F32_S, i64_trunc_f32_s) OPCODE(0xAF, I64_TRUNC_F32_U, i64_trunc_f32_u) \
    OPCODE(0xB0, I64_TRUNC_F64_S, i64_trunc_f64_s) OPCODE(0xB1, I64_TRUNC_F64_U, i64_trunc_f64_u) \
    OPCODE(0xB2, F32_CONVERT_I32_S, f32_convert_i32_s) OPCODE(0xB3, F32_CONVERT_I32_U, f32_convert_i32_u) \
    OPCODE(0xB4, F32_CONVERT_I64_S, f32_convert_i64_s) OPCODE(0xB5, F32_CONVERT_I64_U, f32_convert_i64_u) \
    OPCODE(0xB6, F32_DEMOTE_F64, f32_demote_f64) OPCODE(0xB7, F64_CONVERT_I32_S, f64_convert_i32_s) \
    OPCODE(0xB8, F64_CONVERT_I32_U, f64_convert_i32_u) OPCODE(0xB9, F64_CONVERT_I64_S, f64_convert_i64_s) \
    OPCODE(0xBA, F64_CONVERT_I64_U, f64_convert_i64_u) OPCODE(0xBB, F64_PROMOTE_F32, f64_promote_f32) \
    OPCODE(0xBC, I32_REINTERPRET_F32, i32_reinterpret_f32) OPCODE(0xBD, I64_REINTERPRET_F64, i64_reinterpret_f64) \
    OPCODE(0xBE, F32_REINTERPRET_I32, f32_reinterpret_i32) OPCODE(0xBF, F64_REINTERPRET_I64, f64_reinterpret_i64) \
    OPCODE(0xC0, I32_EXTEND8_S, i32_extend8_s) OPCODE(0xC1, I32_EXTEND16_S, i32_extend16_s) \
    OPCODE(0xC2, I64_EXTEND8_S, i64_extend8_s) OPCODE(0xC3, I64_EXTEND16_S, i64_extend16_s) \
    OPCODE(0xC4, I64_EXTEND32_S, i64_extend32_s)

/* The same after the prefix FC. */
#define PREFIX 0xFC
#define PREFIXED_OPCODES(OPCODE) \
    OPCODE(0x00, I32_TRUNC_SAT_F32_S, i32_trunc_sat_f32_s) OPCODE(0x01, I32_TRUNC_SAT_F32_U, i32_trunc_sat_f32_u) \
    OPCODE(0x02, I32_TRUNC_SAT_F64_S, i32_trunc_sat_f64_s) OPCODE(0x03, I32_TRUNC_SAT_F64_U, i32_trunc_sat_f64_u) \
    OPCODE(0x04, I64_TRUNC_SAT_F32_S, i64_trunc_sat_f32_s) OPCODE(0x05, I64_TRUNC_SAT_F32_U, i64_trunc_sat_f32_u) \
    OPCODE(0x06, I64_TRUNC_SAT_F64_S, i64_trunc_sat_f64_s) OPCODE(0x07, I64_TRUNC_SAT_F64_U, i64_trunc_sat_f64_u) \
    OPCODE(0x0A, MEMORY_COPY, memory_copy) OPCODE(0x0B, MEMORY_FILL, memory_fill)

#define OPCODE_NUMBER(number, name, label) name = number,
enum opcode { OPCODES(OPCODE_NUMBER) };
enum prefixed_opcode { PREFIXED_OPCODES(OPCODE_NUMBER) };
#undef OPCODE_NUMBER
#define BLOCK_EMPTY 0x40
#endif
