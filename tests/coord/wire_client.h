/* A client of a coordination server over real sockets, which waits for each
 * answer: the REST API on its local endpoint, TS2021 by TCP.  Whatever the
 * server does, it comes back: with an answer, or "the connection ended". */
#ifndef REMORA_TESTS_WIRE_CLIENT_H
#define REMORA_TESTS_WIRE_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "ts_client.h"

#define WIRE_BODY ((size_t)256 * 1024)

/* The status of the answer, and its body (NUL behind it, in a place of its own
 * until the next one); 0: there was none. */
int wire_rest(const char *socket_path, const char *method, const char *path,
              const char *body, const char **answer);

/* Called behind each request that was sent, in front of its answer. */
extern void (*wire_sent)(void);

typedef struct wire_node { /* a connection inside Noise */
    int fd;
    uint8_t machine;
    ts_client ts;
    rmr_h2 *h2;
    int32_t stream; /* of the map, or 0 */
    int status;
    bool over, stream_over;
    size_t len, seen_len;
    char body[4096];
    char *seen; /* what the map stream said so far, WIRE_BODY bytes */
} wire_node;

/* False: it did not come to be. */
bool wire_join(wire_node *n, uint16_t port, uint8_t machine);
/* As wire_rest; the body is n->body. */
int wire_ask(wire_node *n, const char *path, const char *body);
/* Says it, and does not wait. */
void wire_say(wire_node *n, const char *path, const char *body);
/* Opens a map stream, which n->seen gathers. */
bool wire_map(wire_node *n, const char *body);
/* What came until now; wait_ms: as long for the first byte. */
void wire_hear(wire_node *n, int wait_ms);
void wire_part(wire_node *n);

#endif
