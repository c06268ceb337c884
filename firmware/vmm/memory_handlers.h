/* Handlers of memory instructions (WebAssembly core specification, 4.4.7). Part of interpreter.c.

   The index is less than 2^32 and so is the offset. Their sum is not compared with anything: no page follows the linear
   memory for 8 GiB. */

#define ADDRESS(index) (memory + (u64)(u32)(index) + offset)
#define LOAD_HANDLER(type, result) \
    do { \
        immediate(&ip);     /* the alignment, a hint */ \
        u64 offset = immediate(&ip); \
        type value = LOAD(type, ADDRESS(top)); \
        top = (result)value; \
        NEXT; \
    } while (0)
#define STORE_HANDLER(type) \
    do { \
        immediate(&ip); \
        u64 offset = immediate(&ip); \
        sp -= 2; \
        STORE(type, ADDRESS(sp[1]), (type)top); \
        top = sp[0]; \
        NEXT; \
    } while (0)

i32_load_:      LOAD_HANDLER(u32, u32);
i64_load_:      LOAD_HANDLER(u64, u64);
f32_load_:      LOAD_HANDLER(u32, u32);
f64_load_:      LOAD_HANDLER(u64, u64);
i32_load8_s_:   LOAD_HANDLER(signed char, u32);
i32_load8_u_:   LOAD_HANDLER(u8, u32);
i32_load16_s_:  LOAD_HANDLER(short, u32);
i32_load16_u_:  LOAD_HANDLER(u16, u32);
i64_load8_s_:   LOAD_HANDLER(signed char, u64);
i64_load8_u_:   LOAD_HANDLER(u8, u64);
i64_load16_s_:  LOAD_HANDLER(short, u64);
i64_load16_u_:  LOAD_HANDLER(u16, u64);
i64_load32_s_:  LOAD_HANDLER(int, u64);
i64_load32_u_:  LOAD_HANDLER(u32, u64);
i32_store_:     STORE_HANDLER(u32);
i64_store_:     STORE_HANDLER(u64);
f32_store_:     STORE_HANDLER(u32);
f64_store_:     STORE_HANDLER(u64);
i32_store8_:    STORE_HANDLER(u8);
i32_store16_:   STORE_HANDLER(u16);
i64_store8_:    STORE_HANDLER(u8);
i64_store16_:   STORE_HANDLER(u16);
i64_store32_:   STORE_HANDLER(u32);

memory_size_:
    ip++;                   /* the memory */
    PUSH(m->pages);
    NEXT;
memory_grow_:               /* only by 0 */
    ip++;
    top = (u32)top ? 0xFFFFFFFF : m->pages;
    NEXT;

memory_fill_: {
    u64 count = (u32)top, to = (u32)sp[-2];
    u8 *at = memory + to;
    touch(memory, to + count);
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(count) : "a"((u8)sp[-1]) : "memory");
    sp -= 3;
    top = *sp;
    immediate(&ip);
    NEXT;
}
memory_copy_: {
    u64 count = (u32)top, from = (u32)sp[-1], to = (u32)sp[-2];
    touch(memory, from + count);
    touch(memory, to + count);
    copy(memory + to, memory + from, count);
    sp -= 3;
    top = *sp;
    immediate(&ip);
    immediate(&ip);
    NEXT;
}
