/* The coordination server as most tests begin it, and who is on it. */
#ifndef REMORA_TESTS_COORD_SERVER_H
#define REMORA_TESTS_COORD_SERVER_H

#include <remora/coord.h>

/* At that address, known by that URL, of the domain tail.test, with a key of
 * its own.  The address stands in a place that the next call uses again. */
void server_config(rmr_coord_config *cfg, rmr_addr at, const char *url);

/* These abort where the server says no. */
uint64_t server_user(rmr_coord *c, const char *name);
void server_key(rmr_coord *c, const rmr_coord_key_wish *wish,
                char text[RMR_COORD_KEY_TEXT]);
/* A reusable one of that user. */
void server_user_key(rmr_coord *c, uint64_t user,
                     char text[RMR_COORD_KEY_TEXT]);
rmr_coord_stats server_stats(const rmr_coord *c);

#endif
