/* Handlers of floating-point instructions (WebAssembly core specification, 4.3.3, 4.3.4). Part of interpreter.c. An f32
   is rounded to an integer, or converted to one, as the f64 that it is exactly. */

#define F32_UNARY(result) do { float x = to_f32(top); top = (result); NEXT; } while (0)
#define F64_UNARY(result) do { double x = to_f64(top); top = (result); NEXT; } while (0)
#define F32_BINARY(result) do { float y = to_f32(top), x = to_f32(*--sp); top = (result); NEXT; } while (0)
#define F64_BINARY(result) do { double y = to_f64(top), x = to_f64(*--sp); top = (result); NEXT; } while (0)

f32_eq_:        F32_BINARY(x == y);
f32_ne_:        F32_BINARY(x != y);
f32_lt_:        F32_BINARY(x < y);
f32_gt_:        F32_BINARY(x > y);
f32_le_:        F32_BINARY(x <= y);
f32_ge_:        F32_BINARY(x >= y);
f64_eq_:        F64_BINARY(x == y);
f64_ne_:        F64_BINARY(x != y);
f64_lt_:        F64_BINARY(x < y);
f64_gt_:        F64_BINARY(x > y);
f64_le_:        F64_BINARY(x <= y);
f64_ge_:        F64_BINARY(x >= y);

/* These three only change the sign, also of a NaN. */
f32_abs_:       UNARY(u32, operand & ~F32_SIGN);
f32_neg_:       UNARY(u32, operand ^ F32_SIGN);
f32_copysign_:  BINARY(u32, (left & ~F32_SIGN) | (right & F32_SIGN));
f64_abs_:       UNARY(u64, operand & ~F64_SIGN);
f64_neg_:       UNARY(u64, operand ^ F64_SIGN);
f64_copysign_:  BINARY(u64, (left & ~F64_SIGN) | (right & F64_SIGN));

f32_ceil_:      F32_UNARY(f32_cell((float)f64_ceil(x)));
f32_floor_:     F32_UNARY(f32_cell((float)f64_floor(x)));
f32_trunc_:     F32_UNARY(f32_cell((float)f64_trunc(x)));
f32_nearest_:   F32_UNARY(f32_cell((float)f64_nearest(x)));
f32_sqrt_:      F32_UNARY(f32_cell(f32_sqrt(x)));
f32_add_:       F32_BINARY(f32_cell(x + y));
f32_sub_:       F32_BINARY(f32_cell(x - y));
f32_mul_:       F32_BINARY(f32_cell(x * y));
f32_div_:       F32_BINARY(f32_cell(x / y));
f32_min_:       F32_BINARY(f32_min(x, y));
f32_max_:       F32_BINARY(f32_max(x, y));
f64_ceil_:      F64_UNARY(f64_cell(f64_ceil(x)));
f64_floor_:     F64_UNARY(f64_cell(f64_floor(x)));
f64_trunc_:     F64_UNARY(f64_cell(f64_trunc(x)));
f64_nearest_:   F64_UNARY(f64_cell(f64_nearest(x)));
f64_sqrt_:      F64_UNARY(f64_cell(f64_sqrt(x)));
f64_add_:       F64_BINARY(f64_cell(x + y));
f64_sub_:       F64_BINARY(f64_cell(x - y));
f64_mul_:       F64_BINARY(f64_cell(x * y));
f64_div_:       F64_BINARY(f64_cell(x / y));
f64_min_:       F64_BINARY(f64_min(x, y));
f64_max_:       F64_BINARY(f64_max(x, y));

i32_trunc_f32_s_:   F32_UNARY((u32)(int)in_range(x, -2147483649.0, 0x1p31));
i32_trunc_f32_u_:   F32_UNARY((u32)(s64)in_range(x, -1, 0x1p32));
i32_trunc_f64_s_:   F64_UNARY((u32)(int)in_range(x, -2147483649.0, 0x1p31));
i32_trunc_f64_u_:   F64_UNARY((u32)(s64)in_range(x, -1, 0x1p32));
i64_trunc_f32_s_:   F32_UNARY((u64)(s64)in_range(x, BELOW_S64, 0x1p63));
i64_trunc_f32_u_:   F32_UNARY(f64_to_u64(in_range(x, -1, U64_LIMIT)));
i64_trunc_f64_s_:   F64_UNARY((u64)(s64)in_range(x, BELOW_S64, 0x1p63));
i64_trunc_f64_u_:   F64_UNARY(f64_to_u64(in_range(x, -1, U64_LIMIT)));
i32_trunc_sat_f32_s_:   F32_UNARY(saturate_i32(x));
i32_trunc_sat_f32_u_:   F32_UNARY(saturate_u32(x));
i32_trunc_sat_f64_s_:   F64_UNARY(saturate_i32(x));
i32_trunc_sat_f64_u_:   F64_UNARY(saturate_u32(x));
i64_trunc_sat_f32_s_:   F32_UNARY(saturate_i64(x));
i64_trunc_sat_f32_u_:   F32_UNARY(saturate_u64(x));
i64_trunc_sat_f64_s_:   F64_UNARY(saturate_i64(x));
i64_trunc_sat_f64_u_:   F64_UNARY(saturate_u64(x));

f32_convert_i32_s_: UNARY(int, f32_bits((float)operand));
f32_convert_i32_u_: UNARY(u32, f32_bits((float)operand));
f32_convert_i64_s_: UNARY(s64, f32_bits((float)operand));
f32_convert_i64_u_: UNARY(u64, f32_bits((float)operand));
f64_convert_i32_s_: UNARY(int, f64_bits((double)operand));
f64_convert_i32_u_: UNARY(u32, f64_bits((double)operand));
f64_convert_i64_s_: UNARY(s64, f64_bits((double)operand));
f64_convert_i64_u_: UNARY(u64, f64_bits((double)operand));
f32_demote_f64_:    F64_UNARY(f32_cell((float)x));
f64_promote_f32_:   F32_UNARY(f64_cell((double)x));

/* The bits stay. */
i32_reinterpret_f32_:
i64_reinterpret_f64_:
f32_reinterpret_i32_:
f64_reinterpret_i64_:
    NEXT;

prefixed_:
    goto *prefixed_handlers[immediate(&ip)];
