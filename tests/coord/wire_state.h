/* What a server knows, as its REST API tells it. */
#ifndef REMORA_TESTS_WIRE_STATE_H
#define REMORA_TESTS_WIRE_STATE_H

#include <jansson.h>

#include <stdbool.h>

typedef struct wire_state {
    json_t *users, *nodes, *keys; /* arrays */
    char *text;                   /* all of it but for times and secrets */
} wire_state;

/* False: the server did not answer. */
bool wire_state_get(wire_state *s, const char *socket_path);
void wire_state_free(wire_state *s);

#endif
