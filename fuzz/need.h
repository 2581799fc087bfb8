/* What must hold in a fuzz target. */
#ifndef REMORA_FUZZ_NEED_H
#define REMORA_FUZZ_NEED_H

#include <stdio.h>
#include <stdlib.h>

#define need(ok) ((ok) ? (void)0 : fuzz_is_broken(__FILE__, __LINE__))

/* Tells where, and crashes. */
static inline void fuzz_is_broken(const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: an invariant does not hold\n", file, line);
    abort();
}

#endif
