/* The REST API as an adapter runs it: bytes on connections of the three
 * listeners, in any order and cut anywhere, with receivers that stand still,
 * time, and memory that fails.  An input is a program of steps; "K" in a text
 * stands for the API's key.  Invariants: memory is bounded by what is open, no
 * key means no change, deadlines that were handled are gone, the end gives
 * everything back. */
#include <remora/coord.h>

#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CONNS 4
#define LISTENERS 3
#define need(ok) must((ok), __LINE__)

static void must(bool ok, int line)
{
    if (ok)
        return;
    fprintf(stderr, "fuzz_coord_api.c:%d: an invariant does not hold\n", line);
    abort();
}

typedef struct conn {
    uint64_t id; /* 0: there is none */
    bool sending, stands;
} conn;

typedef struct world {
    test_alloc mem;
    test_rng rng;
    rmr_coord *coord;
    rmr_machine m;
    rmr_time now;
    uint64_t door[LISTENERS], last_child;
    int n_doors;
    conn c[CONNS];
    bool stopped;
    char key[RMR_COORD_API_KEY_TEXT];
    uint8_t scratch[RMR_IO_SCRATCH_MIN];
} world;

/* ---- the adapter ---------------------------------------------------------- */

static void happens(world *w, rmr_io_event_kind kind, uint64_t id)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = kind;
    ev.id = id;
    if (kind == RMR_IO_WALL)
        ev.wall_unix_ns = (uint64_t)1800000000 * RMR_SEC;
    need(w->m.event(w->m.self, w->now, &ev) == RMR_OK);
}

static conn *find(world *w, uint64_t id)
{
    for (int i = 0; i < CONNS; i++) {
        if (w->c[i].id == id)
            return &w->c[i];
    }
    return NULL;
}

static void perform(world *w, const rmr_io_op *op)
{
    conn *c = find(w, op->id);
    if (op->kind == RMR_IO_LISTEN) {
        need(w->n_doors < LISTENERS);
        w->door[w->n_doors++] = op->id;
        happens(w, RMR_IO_OPENED, op->id);
    } else if (op->kind == RMR_IO_STREAM_SEND) {
        need(c && !c->sending);
        if (c->stands)
            c->sending = true;
        else
            happens(w, RMR_IO_SENT, op->id);
    } else if (op->kind == RMR_IO_CLOSE || op->kind == RMR_IO_ABORT) {
        if (c)
            memset(c, 0, sizeof *c);
    } else if (op->kind == RMR_IO_STOP) {
        w->stopped = true;
    }
}

static void turn(world *w)
{
    rmr_io_op op;
    size_t n = 0;
    do {
        need(n++ < 100000);
        need(w->m.next_op(w->m.self, w->now,
                          rmr_buf_of(w->scratch, sizeof w->scratch),
                          &op) == RMR_OK);
        if (op.kind != RMR_IO_NONE)
            perform(w, &op);
    } while (op.kind != RMR_IO_NONE && !w->stopped);
}

static void pass(world *w, rmr_dur d)
{
    rmr_time end = rmr_time_add(w->now, d), at;
    size_t n = 0;
    while ((at = w->m.next_deadline(w->m.self)) <= end) {
        need(n++ < 10000);
        w->now = at > w->now ? at : w->now;
        need(w->m.handle_deadline(w->m.self, w->now) == RMR_OK);
        turn(w);
        need(w->m.next_deadline(w->m.self) > w->now);
    }
    w->now = end;
}

/* ---- clients -------------------------------------------------------------- */

static void open_one(world *w, conn *c, unsigned door)
{
    rmr_io_event ev;
    if (c->id || w->stopped)
        return;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_ACCEPTED;
    ev.id = w->door[door % LISTENERS];
    ev.child = c->id = ++w->last_child;
    ev.addr = rmr_addr_v4(127, 0, 0, 1, 40000);
    need(w->m.event(w->m.self, w->now, &ev) == RMR_OK);
    turn(w);
}

static void say(world *w, conn *c, const uint8_t *text, size_t len)
{
    uint8_t *p;
    size_t n = 0;
    rmr_io_event ev;
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
    uint8_t *exact = malloc(n);
    need(exact != NULL);
    memcpy(exact, p, n);
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_BYTES;
    ev.id = c->id;
    ev.data = rmr_buf_of(exact, n);
    need(w->m.event(w->m.self, w->now, &ev) == RMR_OK);
    free(exact);
    free(p);
    turn(w);
}

static void taken(world *w, conn *c)
{
    uint64_t id = c->id;
    if (!c->sending)
        return;
    c->sending = false;
    happens(w, RMR_IO_SENT, id);
    turn(w);
}

static void leave(world *w, conn *c, rmr_io_event_kind how)
{
    uint64_t id = c->id;
    if (!id)
        return;
    if (how == RMR_IO_RESET)
        memset(c, 0, sizeof *c);
    happens(w, how, id);
    turn(w);
}

/* ---- the program ---------------------------------------------------------- */

static void begin(world *w)
{
    static const uint8_t private_key[RMR_KEY_LEN] = {8, 1, [31] = 64};
    rmr_addr at = rmr_addr_v4(127, 0, 0, 1, 8080);
    rmr_coord_config cfg;
    uint64_t id;
    char name[240];
    memset(w, 0, sizeof *w);
    w->now = RMR_SEC;
    w->last_child = RMR_IO_ADAPTER_ID;
    test_rng_seed(&w->rng, 5);
    rmr_env env = test_env(&w->mem, &w->rng, NULL);
    rmr_coord_config_init(&cfg, sizeof cfg);
    cfg.listen = &at;
    cfg.n_listen = 1;
    cfg.server_url = "http://127.0.0.1:8080";
    cfg.private_key = private_key;
    cfg.socket_name = "s";
    cfg.metrics_listen = &at;
    cfg.max_nodes = 64;
    need(rmr_coord_new(&w->coord, &env, &cfg, w->now) == RMR_OK);
    w->m = rmr_coord_machine(w->coord);
    happens(w, RMR_IO_WALL, 0);
    turn(w);
    need(w->n_doors == LISTENERS);
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
        pass(w, n * RMR_SEC);
        break;
    case 9:
        w->mem.fail_at = n ? w->mem.calls + n : 0;
        break;
    case 10:
        (void)rmr_coord_user_remove(w->coord, n);
        turn(w);
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
    while (size > 1 && !w.stopped) {
        size_t used = step(&w, data, size);
        data += used;
        size -= used;
        /* What the users and keys take grows with the input alone; a policy of
         * half a megabyte, which repeated bytes can be, takes eight times it. */
        need(w.mem.live_bytes < (size_t)8 * 1024 * 1024);
    }
    w.mem.fail_at = 0;
    pass(&w, 120 * RMR_SEC);
    for (int i = 0; i < CONNS; i++)
        need(!w.c[i].id || w.c[i].sending || w.stopped);
    rmr_coord_free(w.coord);
    need(w.mem.live_blocks == 0);
    return 0;
}
