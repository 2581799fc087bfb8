/* A coordination server as a process: io-posix, store-sqlite, a local endpoint
 * "s" and a TCP port of 127.0.0.1. */
#ifndef REMORA_TESTS_WIRE_SERVER_H
#define REMORA_TESTS_WIRE_SERVER_H

#include <remora/base.h>

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct wire_server {
    const char *dir;    /* its folder: the database "db", the endpoint "s" */
    bool forgets;       /* it has no store                                 */
    uint64_t max_bytes; /* of the database; 0: as the disk has             */
    const char *remora; /* NULL, or the command: `coordinator serve` of it
                           is run in the place of all this                 */
    void (*begin)(void *user); /* in the process, before anything; or NULL */
    void *user;
    pid_t pid;     /* 0: none runs */
    uint16_t port; /* once it is ready */
} wire_server;

/* False: it died before it was ready. */
bool wire_server_start(wire_server *s);
/* SIGKILL, and what was left of it. */
void wire_server_kill(wire_server *s);
/* SIGTERM; it must end in order. */
void wire_server_stop(wire_server *s);

#endif
