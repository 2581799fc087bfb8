/* The REST API as an adapter runs it: bytes on connections of the three
 * listeners, in any order and cut anywhere, with receivers that stand still,
 * time, and memory that fails.  An input is a program of steps; "K" in a text
 * stands for the API's key.  Invariants: memory is bounded by what is open, no
 * key means no change, deadlines that were handled are gone, the end gives
 * everything back. */
#include "fuzz_coord_adapter.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CONNS 4

typedef struct conn {
    uint64_t id; /* 0: there is none */
    bool sending, stands;
} conn;

typedef struct world {
    test_alloc mem;
    test_rng rng;
    rmr_coord *coord;
    fa_adapter io;
    conn c[CONNS];
    char key[RMR_COORD_API_KEY_TEXT];
} world;

/* ---- the adapter --------------------------------------------------------- */

static conn *find(world *w, uint64_t id)
{
    for (int i = 0; i < CONNS; i++) {
        if (w->c[i].id == id)
            return &w->c[i];
    }
    return NULL;
}

static void perform(void *user, const rmr_io_op *op)
{
    world *w = user;
    conn *c = find(w, op->id);
    if (op->kind == RMR_IO_STREAM_SEND) {
        need(c && !c->sending);
        if (c->stands)
            c->sending = true;
        else
            fa_happens(&w->io, RMR_IO_SENT, op->id);
    } else if (op->kind == RMR_IO_CLOSE || op->kind == RMR_IO_ABORT) {
        if (c)
            memset(c, 0, sizeof *c);
    }
}

/* ---- clients ------------------------------------------------------------- */

static void open_one(world *w, conn *c, unsigned door)
{
    rmr_addr from = rmr_addr_v4(127, 0, 0, 1, 40000);
    if (c->id || w->io.stopped)
        return;
    c->id = w->io.last_child + 1; /* it may end in there */
    (void)fa_accept(&w->io, door, &from);
    fa_turn(&w->io);
}

static void say(world *w, conn *c, const uint8_t *text, size_t len)
{
    uint8_t *p;
    size_t n = 0;
    if (!c->id || len == 0)
        return;
    p = malloc(len * sizeof w->key);
    need(p != NULL);
    for (size_t i = 0; i < len; i++) {
        if (text[i] != 'K') {
            p[n++] = text[i];
            continue;
        }
        memcpy(p + n, w->key, strlen(w->key));
        n += strlen(w->key);
    }
    fa_bytes(&w->io, c->id, p, n);
    free(p);
    fa_turn(&w->io);
}

static void taken(world *w, conn *c)
{
    uint64_t id = c->id;
    if (!c->sending)
        return;
    c->sending = false;
    fa_happens(&w->io, RMR_IO_SENT, id);
    fa_turn(&w->io);
}

static void leave(world *w, conn *c, rmr_io_event_kind how)
{
    uint64_t id = c->id;
    if (!id)
        return;
    if (how == RMR_IO_RESET)
        memset(c, 0, sizeof *c);
    fa_happens(&w->io, how, id);
    fa_turn(&w->io);
}

/* ---- the program --------------------------------------------------------- */

static void begin(world *w)
{
    rmr_coord_config cfg;
    uint64_t id;
    char name[240];
    memset(w, 0, sizeof *w);
    fa_init(&w->io, perform, w);
    test_rng_seed(&w->rng, 5);
    rmr_env env = test_env(&w->mem, &w->rng, NULL);
    fa_config(&cfg);
    cfg.max_nodes = 64;
    need(rmr_coord_new(&w->coord, &env, &cfg, w->io.now) == RMR_OK);
    fa_start(&w->io, w->coord);
    need(rmr_coord_api_key_add(w->coord, 0, w->key, &id) == RMR_OK);
    memset(name, 'u', sizeof name);
    for (int i = 0; i < 80; i++) { /* a list of several pieces */
        (void)snprintf(name + 200, 16, "%d", i);
        need(rmr_coord_user_add(w->coord, name, &id) == RMR_OK);
    }
}

/* A step: 1 byte says which, and of which client; 1 byte more. */
static size_t step(world *w, const uint8_t *p, size_t left)
{
    conn *c = &w->c[p[0] / 16 % CONNS];
    size_t n = left > 1 ? p[1] : 0, used = 2;
    switch (p[0] % 16) {
    case 0:
        open_one(w, c, (unsigned)n);
        break;
    case 1: /* bytes, up to 255 */
    case 2: /* ... and a great many */
        used += n = left - 2 < n ? left - 2 : n;
        say(w, c, p + 2, n);
        for (int i = 0; i < 64 && p[0] % 16 == 2; i++)
            say(w, c, p + 2, n);
        break;
    case 3: /* up to the next NUL */
        n = 0;
        while (used + n < left && p[used + n])
            n++;
        say(w, c, p + used, n);
        used += n + 1;
        break;
    case 4:
        c->stands = n & 1;
        if (!c->stands)
            taken(w, c);
        break;
    case 5:
        taken(w, c);
        break;
    case 6:
        leave(w, c, RMR_IO_EOF);
        break;
    case 7:
        leave(w, c, RMR_IO_RESET);
        break;
    case 8:
        fa_pass(&w->io, n * RMR_SEC);
        break;
    case 9:
        w->mem.fail_at = n ? w->mem.calls + n : 0;
        break;
    case 10:
        (void)rmr_coord_user_remove(w->coord, n);
        fa_turn(&w->io);
        break;
    default:
        break;
    }
    return used < left ? used : left;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static world w;
    if (size > 8192)
        return 0;
    begin(&w);
    while (size > 1 && !w.io.stopped) {
        size_t used = step(&w, data, size);
        data += used;
        size -= used;
        /* What the users and keys take grows with the input alone; a policy of
         * half a megabyte, which repeated bytes can be, takes eight times it. */
        need(w.mem.live_bytes < (size_t)8 * 1024 * 1024);
    }
    w.mem.fail_at = 0;
    fa_pass(&w.io, 120 * RMR_SEC);
    for (int i = 0; i < CONNS; i++)
        need(!w.c[i].id || w.c[i].sending || w.io.stopped);
    rmr_coord_free(w.coord);
    need(w.mem.live_blocks == 0);
    return 0;
}
