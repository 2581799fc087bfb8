/* A coordination server without a network, and changes to it. */
#ifndef REMORA_TESTS_COORD_BARE_H
#define REMORA_TESTS_COORD_BARE_H

#include "crd_internal.h"
#include "support.h"

/* NULL: it did not begin; *err says why.  The store may be NULL. */
rmr_coord *bare_coord(test_alloc *heap, test_rng *rng,
                      const rmr_coord_store *store, rmr_err *err);
/* A fresh node of that user (0: of a tag) with keys made of `number`. */
rmr_err bare_node(rmr_coord *c, uint64_t user, uint64_t number,
                  const char *hostname);
/* One change by chance, the same for the same state and numbers; it may be one
 * that is refused.  Aborts where one fails for another reason. */
void bare_change(rmr_coord *c, test_rng *chance);

#endif
