#include "fuzz_coord_adapter.h"

#include <stdlib.h>
#include <string.h>

#include "server.h"

void fa_init(fa_adapter *a, void (*perform)(void *user, const rmr_io_op *op),
             void *user)
{
    memset(a, 0, sizeof *a);
    a->now = RMR_SEC;
    a->last_child = RMR_IO_ADAPTER_ID;
    a->perform = perform;
    a->user = user;
}

void fa_config(rmr_coord_config *cfg)
{
    server_config(cfg, rmr_addr_v4(127, 0, 0, 1, 8080),
                  "http://127.0.0.1:8080");
    cfg->socket_name = "s";
    cfg->metrics_listen = cfg->listen;
}

void fa_start(fa_adapter *a, rmr_coord *coord)
{
    a->n_doors = 0;
    a->stopped = false;
    a->m = rmr_coord_machine(coord);
    fa_happens(a, RMR_IO_WALL, 0);
    fa_turn(a);
    need(a->n_doors == FA_DOORS);
}

/* ---- events -------------------------------------------------------------- */

static void give(fa_adapter *a, rmr_io_event *ev)
{
    need(a->m.event(a->m.self, a->now, ev) == RMR_OK);
}

void fa_happens(fa_adapter *a, rmr_io_event_kind kind, uint64_t id)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = kind;
    ev.id = id;
    if (kind == RMR_IO_WALL)
        ev.wall_unix_ns = (uint64_t)1800000000 * RMR_SEC + a->wall;
    give(a, &ev);
}

uint64_t fa_accept(fa_adapter *a, unsigned door, const rmr_addr *from)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_ACCEPTED;
    ev.id = a->door[door % FA_DOORS];
    ev.child = ++a->last_child;
    ev.addr = *from;
    give(a, &ev);
    return ev.child;
}

void fa_bytes(fa_adapter *a, uint64_t id, const uint8_t *p, size_t n)
{
    rmr_io_event ev;
    uint8_t *exact = malloc(n);
    need(exact != NULL);
    memcpy(exact, p, n);
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_BYTES;
    ev.id = id;
    ev.data = rmr_buf_of(exact, n);
    give(a, &ev);
    free(exact);
}

/* ---- turns --------------------------------------------------------------- */

static void perform(fa_adapter *a, const rmr_io_op *op)
{
    if (op->kind == RMR_IO_LISTEN) {
        need(a->n_doors < FA_DOORS);
        a->door[a->n_doors++] = op->id;
        fa_happens(a, RMR_IO_OPENED, op->id);
    } else if (op->kind == RMR_IO_STOP) {
        a->stopped = true;
    } else {
        a->perform(a->user, op);
    }
}

void fa_turn(fa_adapter *a)
{
    rmr_io_op op;
    size_t n = 0;
    do {
        need(n++ < 100000);
        need(a->m.next_op(a->m.self, a->now,
                          rmr_buf_of(a->scratch, sizeof a->scratch),
                          &op) == RMR_OK);
        if (op.kind != RMR_IO_NONE)
            perform(a, &op);
    } while (op.kind != RMR_IO_NONE && !a->stopped);
}

void fa_pass(fa_adapter *a, rmr_dur d)
{
    rmr_time end = rmr_time_add(a->now, d), at;
    size_t n = 0;
    while (!a->stopped && (at = a->m.next_deadline(a->m.self)) <= end) {
        need(n++ < 100000);
        a->now = at > a->now ? at : a->now;
        need(a->m.handle_deadline(a->m.self, a->now) == RMR_OK);
        fa_turn(a);
        need(a->stopped || a->m.next_deadline(a->m.self) > a->now);
    }
    a->now = end;
}
