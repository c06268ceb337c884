/* A fresh guest, prepared in ring 0. */
#include "vmm.h"

void initialise_globals(const struct guest *guest)
{
    for (u32 i = 0; i < guest->module->global_count; i++)
        guest->globals[i] = guest->module->globals[i].initial;
}
