/*
 * The HTTP proxy of the environment, as curl and others read it.
 */
#ifndef CLI_PROXY_H
#define CLI_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cli_proxy {
    char host[254]; /* "": none */
    uint16_t port;
    char auth[512]; /* "user:password", or "" */
    const char *no_proxy; /* of the environment; NULL: none */
} cli_proxy;

/** HTTPS_PROXY, else ALL_PROXY, and NO_PROXY; each also in lower case, which
 *  wins.  False: `error` holds a sentence, without what may be a password. */
bool cli_proxy_find(cli_proxy *p, char *error, size_t cap);
/** Reads "[http://][USER:PASSWORD@]HOST[:PORT]".  False: it is none. */
bool cli_proxy_parse(cli_proxy *p, const char *text);
void cli_proxy_wipe(cli_proxy *p);

#endif
