/* Writes to devices, in native code: some only change memory (machine/bus/mmio_window.py).

   on_device_read of step_hook.c is its counterpart.  Built as step_hook.c is. */
typedef unsigned long long u64;
typedef unsigned int u32;
typedef unsigned char u8;

struct window {
    u64 first;              /* offset of the registers in the device range, in bytes */
    u64 size;               /* bytes; 0: there is no window now */
    u8 *memory;
    u64 reads;
    u64 (*read_bus)(void *uc, u64 offset, u32 size, void *user);
    u64 writable;           /* nonzero: a write to the window only changes the memory */
    u64 writes;             /* writes that the window has taken */
    void (*write_bus)(void *uc, u64 offset, u32 size, u64 value, void *user);   /* takes all other writes */
};

/* A write in the device range: the callback of uc_mmio_map. */
void on_device_write(void *uc, u64 offset, u32 size, u64 value, struct window *w)
{
    u64 at = offset - w->first;
    if (!w->writable || at >= w->size || size > w->size - at) {
        w->write_bus(uc, offset, size, value, 0);
        return;
    }
    w->writes++;
    for (u32 i = 0; i < size; i++)
        w->memory[at + i] = (u8)(value >> 8 * i);
}
