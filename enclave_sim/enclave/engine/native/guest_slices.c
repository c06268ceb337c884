/* The slices of a stay in a WebAssembly guest, in native code.

   coroutine.py says why a stay is cut into slices, and has the same loop in Python.  Built as
   machine/processor/native/step_hook.c is: no global data, no relocations. */
typedef unsigned long long u64;
typedef unsigned char u8;

struct slices {
    void *context, *future;             /* wasmtime_context_t, wasmtime_call_future_t */
    void *(*arm)(void *context, u64 fuel);              /* wasmtime_context_fuel_async_yield_interval */
    u8 (*poll)(void *future);                           /* wasmtime_call_future_poll */
    void *(*read_fuel)(void *context, u64 *left);       /* wasmtime_context_get_fuel */
    u64 fuel;           /* at the start of the guest */
    u64 left;
    u64 spent;
    u64 slice;          /* fuel in a slice */
    u64 deadline;       /* stop when so much is spent */
    u64 calling;        /* set by the callback of a host call */
};

/* Continue the guest until it has returned, trapped, called the host or reached the deadline; nonzero if it is over. */
u64 run_slices(struct slices *s)
{
    for (;;) {
        u64 next = s->spent - s->spent % s->slice + s->slice;
        if (next > s->deadline)
            next = s->deadline;
        s->arm(s->context, next > s->spent ? next - s->spent : 1);
        u8 over = s->poll(s->future);
        s->read_fuel(s->context, &s->left);
        s->spent = s->fuel - s->left;
        if (over || s->calling || s->spent >= s->deadline)
            return over;
    }
}
