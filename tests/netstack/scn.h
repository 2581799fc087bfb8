/* Runs one scenario line against a stack on a virtual clock.  The notation is
 * explained at the head of scenarios.scn. */
#ifndef TEST_SCN_H
#define TEST_SCN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct scn_opts {
    uint32_t peer_iss;
    bool isn_wrap;   /* our numbers begin right below 2^32 */
    bool stamp_wrap; /* our timestamps likewise */
    size_t fail_at;  /* fail this allocation; a mismatch is no error then */
} scn_opts;

typedef struct scn_result {
    char err[400];    /* empty: all as expected */
    size_t allocs;    /* calls of the allocator */
    bool alloc_failed;
} scn_result;

/* `line`: "id [K] | title | steps". */
void scn_run(const char *line, const scn_opts *o, scn_result *r);

#endif
