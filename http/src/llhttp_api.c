/*
 * The hand-written rest of llhttp 8.  A unit of its own, because the generated
 * parser declares these functions with another kind of char.
 *
 * llhttp__debug, which nothing calls, prints nothing here, so that no stdio
 * stream is reachable from this library.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llhttp_names.h"

#undef fprintf
#define fprintf(...) ((void)0)

#include <api.c>
#include <http.c>
