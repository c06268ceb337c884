/* What the kernel's verification of signatures needs of a kernel, and functions for ctypes. */
#include "signatures.h"

void sha256(const u8 *data, u32 length, u8 *digest);

void digest(const void *data, u32 length, u8 *result)
{
    sha256(data, length, result);
}

int host_verify(const u8 *module, u32 length, const u8 *anchors, u32 anchors_length, int is_production)
{
    return (int)verify_module((struct bytes){module, length}, (struct bytes){anchors, anchors_length}, is_production);
}

int host_anchors(const u8 *anchors, u32 length)
{
    return anchors_are_sound((struct bytes){anchors, length});
}
