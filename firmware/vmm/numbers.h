/* Arithmetic that C leaves open, as WebAssembly defines it and the processor does it (core specification, 4.3).

   Floating point needs SSE2 only, which every x86-64 processor has, in its default state: rounding to the nearest, no
   exceptions unmasked. A NaN that an operation makes is the canonical one, as cranelift_nan_canonicalization has it. */
#ifndef AETHER_NUMBERS_H
#define AETHER_NUMBERS_H
#include "traps.h"
#include "vmm.h"

typedef long long s64;

/* Memory operands need no alignment. They are volatile because an access may trap, even if its value is not used. */
#define OPERAND(type) struct __attribute__((packed, may_alias)) { type value; }
#define LOAD(type, address) (((const volatile OPERAND(type) *)(address))->value)
#define STORE(type, address, stored) ((void)(((volatile OPERAND(type) *)(address))->value = (stored)))

/* DIV and IDIV raise #DE if the divisor is zero or the quotient does not fit. C does not say what happens then. */
struct divided32 { u32 quotient, remainder; };
struct divided64 { u64 quotient, remainder; };

static inline struct divided32 u32_divide(u32 left, u32 right)
{
    u32 remainder = 0;

    __asm__ volatile("divl %2" : "+a"(left), "+d"(remainder) : "r"(right) : "cc");
    return (struct divided32){left, remainder};
}

static inline struct divided64 u64_divide(u64 left, u64 right)
{
    u64 remainder = 0;

    __asm__ volatile("divq %2" : "+a"(left), "+d"(remainder) : "r"(right) : "cc");
    return (struct divided64){left, remainder};
}

static inline u32 i32_quotient(u32 left, u32 right)
{
    u32 remainder = (u32)((int)left >> 31);

    __asm__ volatile("idivl %2" : "+a"(left), "+d"(remainder) : "r"(right) : "cc");
    return left;
}

static inline u64 i64_quotient(u64 left, u64 right)
{
    u64 remainder = (u64)((s64)left >> 63);

    __asm__ volatile("idivq %2" : "+a"(left), "+d"(remainder) : "r"(right) : "cc");
    return left;
}

/* The smallest integer has the remainder 0 by -1, but IDIV would raise #DE for its quotient. */
static inline u32 i32_remainder(u32 left, u32 right)
{
    u32 remainder = (u32)((int)left >> 31);

    if (right == ~0u)
        return 0;
    __asm__ volatile("idivl %2" : "+a"(left), "+d"(remainder) : "r"(right) : "cc");
    return remainder;
}

static inline u64 i64_remainder(u64 left, u64 right)
{
    u64 remainder = (u64)((s64)left >> 63);

    if (right == ~0ULL)
        return 0;
    __asm__ volatile("idivq %2" : "+a"(left), "+d"(remainder) : "r"(right) : "cc");
    return remainder;
}

#define F32_SIGN 0x80000000u
#define F64_SIGN 0x8000000000000000ULL
#define F32_NAN  0x7FC00000u
#define F64_NAN  0x7FF8000000000000ULL

/* A cell and the number in it. */
static inline float to_f32(u64 cell) { union { u32 bits; float number; } u = {.bits = (u32)cell}; return u.number; }
static inline double to_f64(u64 cell) { union { u64 bits; double number; } u = {.bits = cell}; return u.number; }
static inline u32 f32_bits(float number) { union { float number; u32 bits; } u = {.number = number}; return u.bits; }
static inline u64 f64_bits(double number) { union { double number; u64 bits; } u = {.number = number}; return u.bits; }

/* The cell of a number that was computed. */
static inline u64 f32_cell(float number) { return number == number ? f32_bits(number) : F32_NAN; }
static inline u64 f64_cell(double number) { return number == number ? f64_bits(number) : F64_NAN; }

static inline float f32_sqrt(float x) { __asm__("sqrtss %0, %0" : "+x"(x)); return x; }
static inline double f64_sqrt(double x) { __asm__("sqrtsd %0, %0" : "+x"(x)); return x; }

/* Zeros are equal, but -0 is the smaller one. */
static inline u64 f32_min(float a, float b)
{
    return a == b ? f32_bits(a) | f32_bits(b) : f32_cell(a < b ? a : a > b ? b : a + b);
}
static inline u64 f32_max(float a, float b)
{
    return a == b ? f32_bits(a) & f32_bits(b) : f32_cell(a > b ? a : a < b ? b : a + b);
}
static inline u64 f64_min(double a, double b)
{
    return a == b ? f64_bits(a) | f64_bits(b) : f64_cell(a < b ? a : a > b ? b : a + b);
}
static inline u64 f64_max(double a, double b)
{
    return a == b ? f64_bits(a) & f64_bits(b) : f64_cell(a > b ? a : a < b ? b : a + b);
}

/* Rounding to an integer. From 2^52 on (2^23 for f32, which is rounded as f64) every number is one. The result has the
   sign of the operand, even if it is zero. */
static inline int is_integral(double x) { return !((f64_bits(x) & ~F64_SIGN) < 0x4330000000000000ULL); }
static inline double with_sign_of(double x, double sign)
{
    return to_f64((f64_bits(x) & ~F64_SIGN) | (f64_bits(sign) & F64_SIGN));
}
static inline double f64_trunc(double x) { return is_integral(x) ? x : with_sign_of((double)(s64)x, x); }
static inline double f64_floor(double x)
{
    double whole = f64_trunc(x);

    return is_integral(x) || whole <= x ? whole : whole - 1;
}
static inline double f64_ceil(double x)
{
    double whole = f64_trunc(x);

    return is_integral(x) || whole >= x ? whole : with_sign_of(whole + 1, x);
}
/* Adding 2^52 leaves no bits for a fraction, so the addition rounds it to the nearest, ties to even. */
static inline double f64_nearest(double x)
{
    double magnitude = to_f64(f64_bits(x) & ~F64_SIGN), sum = magnitude + 0x1p52;

    __asm__("" : "+x"(sum));    /* the compiler must not simplify it */
    return is_integral(x) ? x : with_sign_of(sum - 0x1p52, x);
}

/* Conversions to integers: of numbers between two bounds, themselves excluded, towards zero. */
#define U64_LIMIT 0x1p64
#define BELOW_S64 -0x1.0000000000001p63    /* the next number below -2^63 */
static inline double in_range(double x, double above, double below)
{
    if (x != x)
        TRAP(CONVERSION);
    if (!(x > above && x < below))
        TRAP(OVERFLOW);
    return x;
}
/* 2^63 is subtracted before, because CVTTSD2SI is signed. */
static inline u64 f64_to_u64(double x)
{
    return x < 0x1p63 ? (u64)(s64)x : (u64)(s64)(x - 0x1p63) ^ F64_SIGN;
}
static inline u32 saturate_i32(double x)
{
    return x != x ? 0 : x <= -0x1p31 ? 0x80000000u : x >= 0x1p31 ? 0x7FFFFFFFu : (u32)(int)x;
}
static inline u32 saturate_u32(double x) { return !(x > 0) ? 0 : x >= 0x1p32 ? 0xFFFFFFFFu : (u32)(s64)x; }
static inline u64 saturate_i64(double x)
{
    return x != x ? 0 : x < -0x1p63 ? F64_SIGN : x >= 0x1p63 ? ~F64_SIGN : (u64)(s64)x;
}
static inline u64 saturate_u64(double x) { return !(x > 0) ? 0 : x >= U64_LIMIT ? ~0ULL : f64_to_u64(x); }
#endif
