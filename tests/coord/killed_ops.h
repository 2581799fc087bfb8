/* Changes of a coordination server by chance, told so that two servers can be
 * asked for the same. */
#ifndef REMORA_TESTS_KILLED_OPS_H
#define REMORA_TESTS_KILLED_OPS_H

#include "support.h"
#include "wire_server.h"
#include "wire_state.h"

#define KEYS_MAX 4096
#define KEY_TEXT 96

typedef struct side { /* one of the servers, as its client knows it */
    wire_server server;
    char socket[64];
    char keys[KEYS_MAX][KEY_TEXT]; /* by id; "": nobody was told */
} side;

typedef enum op_kind {
    OP_USER_ADD,
    OP_USER_RENAME,
    OP_USER_REMOVE,
    OP_KEY_ADD,
    OP_KEY_EXPIRE,
    OP_KEY_REMOVE,
    OP_JOIN,  /* by a key, with another node key */
    OP_LOGIN, /* by approval, likewise */
    OP_NODE_RENAME,
    OP_NODE_TAGS,
    OP_NODE_ROUTES,
    OP_NODE_EXPIRE,
    OP_NODE_REMOVE,
    OP_KINDS
} op_kind;

typedef struct op {
    op_kind kind;
    unsigned number;  /* of the change: in names and keys */
    uint64_t id, key; /* of what it changes; the pre-auth key */
    unsigned machine;
    char user[64];
    char mark[80]; /* what a map stream says of it; "": nothing */
} op;

/* The next one, for a server in that state. */
void op_make(op *o, test_rng *r, const wire_state *is, const side *a,
             const side *b, unsigned number);
/* The status of its answer; 0: none came. */
int op_do(const op *o, side *s);

#endif
