/*
 * One request of the REST API at a time, over the coordinator's local socket,
 * or by TCP and TLS to a server elsewhere.  Blocking, with limits of time.
 */
#ifndef CLI_COORD_ADMIN_HTTP_H
#define CLI_COORD_ADMIN_HTTP_H

#include <remora/base.h>
#include <remora/http1.h>

typedef struct cli_server {
    const char *socket;  /* its path; NULL: by url                            */
    const char *address; /* url as it was given                               */
    rmr_url url;
    const char *api_key; /* where there is a url                              */
    rmr_bytes ca_pem;    /* whom to trust, for https                          */
} cli_server;

typedef struct cli_reply {
    uint16_t status;
    bool is_json; /* by its content type */
    uint8_t *body;
    size_t len, cap;
} cli_reply;

/** Asks, and reads the whole answer, whatever its status.
 *
 *  \param body   JSON; NULL: none.
 *  \param error  Gets a sentence where the result is false. */
bool cli_http_ask(const cli_server *s, const char *method, const char *target,
                  const rmr_bytes *body, cli_reply *r, char *error,
                  size_t cap);
/** Wipes (it may hold a key) and frees. */
void cli_reply_free(cli_reply *r);

#endif
