/* Programs on the nodes' hosts: their ends of streams. */
#include "pair_internal.h"

#include <string.h>

/* ---- programs ---------------------------------------------------------- */

pair_conn *pair_dial(pair *p, int node, uint16_t port, const char *name)
{
    for (size_t k = 0; k < PAIR_LISTENERS; k++) {
        if (!p->listeners[k].used || p->listeners[k].node != node ||
            (name ? strcmp(p->listeners[k].name, name) != 0
                  : p->listeners[k].at.port != port))
            continue;
        pair_conn *c = pairi_conn_new(p);
        c->end[0].kind = PAIR_APP;
        c->end[0].open = true;
        c->end[1].kind = PAIR_NODE;
        c->end[1].open = true;
        c->end[1].node = node;
        c->end[1].id = RMR_IO_ADAPTER_ID | ++p->last_child;
        rmr_io_event ev;
        memset(&ev, 0, sizeof ev);
        ev.kind = RMR_IO_ACCEPTED;
        ev.id = p->listeners[k].id;
        ev.child = c->end[1].id;
        ev.addr = rmr_addr_v4(127, 0, 0, 1, 5555);
        pairi_give(p, node, &ev);
        pair_drain(p, node);
        return c;
    }
    return NULL;
}

pair_conn *pair_accepted(pair *p, uint16_t port)
{
    for (size_t i = 0; i < PAIR_CONNS; i++) {
        pair_conn *c = &p->conns[i];
        if (c->used && c->port == port && c->end[1].kind == PAIR_APP &&
            c->end[0].open && !c->end[1].closed)
            return c;
    }
    return NULL;
}

int pair_app_side(const pair_conn *c)
{
    return c->end[0].kind == PAIR_APP ? 0 : 1;
}

size_t pair_write(pair_conn *c, const void *data, size_t len)
{
    pair_pipe *out = &c->pipe[pair_app_side(c)];
    size_t room = pairi_pipe_room(out);
    if (len > room)
        len = room;
    pairi_pipe_put(out, data, len);
    return len;
}

size_t pair_read(pair_conn *c, void *dst, size_t cap)
{
    pair_pipe *in = &c->pipe[1 - pair_app_side(c)];
    size_t n = in->len < cap ? in->len : cap;
    if (n) {
        memcpy(dst, in->buf, n);
        pairi_pipe_drop(in, n);
    }
    return n;
}

bool pair_is_eof(const pair_conn *c)
{
    const pair_pipe *in = &c->pipe[1 - pair_app_side(c)];
    return in->fin && in->len == 0;
}

bool pair_is_reset(const pair_conn *c)
{
    return c->end[pair_app_side(c)].dead;
}

void pair_shut(pair_conn *c)
{
    c->pipe[pair_app_side(c)].fin = true;
}

void pair_close(pair_conn *c)
{
    int side = pair_app_side(c);
    c->pipe[side].fin = true;
    c->pipe[1 - side].sink = true;
    c->pipe[1 - side].len = 0;
    c->end[side].closed = true;
}

void pair_abort(pair_conn *c)
{
    pairi_break_from(c, pair_app_side(c));
}
