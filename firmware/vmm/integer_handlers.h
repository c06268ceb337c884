/* Handlers of integer instructions (WebAssembly core specification, 4.3.2). Part of interpreter.c. A cell with an i32
   has zeros above it. */

#define UNARY(type, result) do { type operand = (type)top; top = (result); NEXT; } while (0)
#define BINARY(type, result) do { type right = (type)top, left = (type)*--sp; top = (result); NEXT; } while (0)

i32_eqz_:       UNARY(u32, operand == 0);
i32_eq_:        BINARY(u32, left == right);
i32_ne_:        BINARY(u32, left != right);
i32_lt_s_:      BINARY(int, left < right);
i32_lt_u_:      BINARY(u32, left < right);
i32_gt_s_:      BINARY(int, left > right);
i32_gt_u_:      BINARY(u32, left > right);
i32_le_s_:      BINARY(int, left <= right);
i32_le_u_:      BINARY(u32, left <= right);
i32_ge_s_:      BINARY(int, left >= right);
i32_ge_u_:      BINARY(u32, left >= right);
i64_eqz_:       UNARY(u64, operand == 0);
i64_eq_:        BINARY(u64, left == right);
i64_ne_:        BINARY(u64, left != right);
i64_lt_s_:      BINARY(s64, left < right);
i64_lt_u_:      BINARY(u64, left < right);
i64_gt_s_:      BINARY(s64, left > right);
i64_gt_u_:      BINARY(u64, left > right);
i64_le_s_:      BINARY(s64, left <= right);
i64_le_u_:      BINARY(u64, left <= right);
i64_ge_s_:      BINARY(s64, left >= right);
i64_ge_u_:      BINARY(u64, left >= right);

i32_clz_:       UNARY(u32, operand ? (u32)__builtin_clz(operand) : 32);
i32_ctz_:       UNARY(u32, operand ? (u32)__builtin_ctz(operand) : 32);
i32_popcnt_:    UNARY(u32, (u32)__builtin_popcount(operand));
i32_add_:       BINARY(u32, left + right);
i32_sub_:       BINARY(u32, left - right);
i32_mul_:       BINARY(u32, left * right);
i32_div_s_:     BINARY(u32, i32_quotient(left, right));
i32_div_u_:     BINARY(u32, u32_divide(left, right).quotient);
i32_rem_s_:     BINARY(u32, i32_remainder(left, right));
i32_rem_u_:     BINARY(u32, u32_divide(left, right).remainder);
i32_and_:       BINARY(u32, left & right);
i32_or_:        BINARY(u32, left | right);
i32_xor_:       BINARY(u32, left ^ right);
i32_shl_:       BINARY(u32, left << (right & 31));
i32_shr_s_:     BINARY(u32, (u32)((int)left >> (right & 31)));
i32_shr_u_:     BINARY(u32, left >> (right & 31));
i32_rotl_:      BINARY(u32, left << (right & 31) | left >> (-right & 31));
i32_rotr_:      BINARY(u32, left >> (right & 31) | left << (-right & 31));
i64_clz_:       UNARY(u64, operand ? (u64)__builtin_clzll(operand) : 64);
i64_ctz_:       UNARY(u64, operand ? (u64)__builtin_ctzll(operand) : 64);
i64_popcnt_:    UNARY(u64, (u64)__builtin_popcountll(operand));
i64_add_:       BINARY(u64, left + right);
i64_sub_:       BINARY(u64, left - right);
i64_mul_:       BINARY(u64, left * right);
i64_div_s_:     BINARY(u64, i64_quotient(left, right));
i64_div_u_:     BINARY(u64, u64_divide(left, right).quotient);
i64_rem_s_:     BINARY(u64, i64_remainder(left, right));
i64_rem_u_:     BINARY(u64, u64_divide(left, right).remainder);
i64_and_:       BINARY(u64, left & right);
i64_or_:        BINARY(u64, left | right);
i64_xor_:       BINARY(u64, left ^ right);
i64_shl_:       BINARY(u64, left << (right & 63));
i64_shr_s_:     BINARY(u64, (u64)((s64)left >> (right & 63)));
i64_shr_u_:     BINARY(u64, left >> (right & 63));
i64_rotl_:      BINARY(u64, left << (right & 63) | left >> (-right & 63));
i64_rotr_:      BINARY(u64, left >> (right & 63) | left << (-right & 63));

i32_wrap_i64_:      UNARY(u64, (u32)operand);
i64_extend_i32_s_:  UNARY(int, (u64)operand);
i64_extend_i32_u_:  UNARY(u32, operand);
i32_extend8_s_:     UNARY(signed char, (u32)operand);
i32_extend16_s_:    UNARY(short, (u32)operand);
i64_extend8_s_:     UNARY(signed char, (u64)operand);
i64_extend16_s_:    UNARY(short, (u64)operand);
i64_extend32_s_:    UNARY(int, (u64)operand);
