/*
 * A connected stream, with TLS or without.  Every step has a limit of time.
 */
#ifndef CLI_COORD_ADMIN_NET_H
#define CLI_COORD_ADMIN_NET_H

#include <remora/tls.h>

#include "coord_admin_http.h"

typedef struct cli_wire {
    int fd; /* -1: none */
    rmr_tls *tls;
    rmr_tls_anchors *anchors;
    uint8_t in[16 * 1024]; /* ciphertext that TLS did not take yet */
    size_t from, to;
    char *error;
    size_t error_cap;
} cli_wire;

/** False, here as below: `error` holds a sentence. */
bool cli_wire_open(cli_wire *w, const cli_server *s, char *error, size_t cap);
bool cli_wire_send(cli_wire *w, rmr_bytes data);
/** *len is 0 at the end of the stream. */
bool cli_wire_receive(cli_wire *w, rmr_buf dst, size_t *len);
void cli_wire_close(cli_wire *w);

#endif
