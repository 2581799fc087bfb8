/* Streams: what the node dials and who dials it, piece by piece. */
#include "fuzz_node_world.h"

#include <stdlib.h>
#include <string.h>

#define MOST ((size_t)1 << 20) /* kept of what goes to one stream */

fz_wire *fz_wire_of(fz_world *w, uint64_t id)
{
    for (size_t i = 0; id && i < w->n_wires; i++)
        if (w->wires[i].id == id)
            return &w->wires[i];
    return NULL;
}

fz_wire *fz_wire_new(fz_world *w, uint64_t id, fz_far far)
{
    for (size_t i = 0; i < WIRES; i++) {
        fz_wire *s = &w->wires[i];
        if (s->id)
            continue;
        w->n_wires = i < w->n_wires ? w->n_wires : i + 1;
        s->id = id;
        s->far = far;
        return s;
    }
    return NULL;
}

void fz_wire_free(fz_wire *s)
{
    fz_free(&s->in);
    fz_free(&s->out);
    fz_free(&s->plain);
    fz_free(&s->body);
    memset(s, 0, sizeof *s);
}

void fz_wire_say(fz_wire *s, const void *p, size_t n)
{
    if (s->in.len + n < MOST)
        fz_add(&s->in, p, n);
}

/* ---- the far ends --------------------------------------------------------- */

static fz_far far_of(const rmr_addr *to)
{
    static const uint8_t lab[3] = {203, 0, 113};
    if (to->family != RMR_AF_INET || memcmp(to->ip, lab, 3) != 0)
        return FAR_PROGRAM;
    return to->ip[3] == 250 ? FAR_CONTROL : FAR_WEB;
}

void fz_connect(fz_world *w, const rmr_io_op *op)
{
    fz_wire *s = fz_wire_new(w, op->id, far_of(&op->addr));
    if (!s) {
        fz_tell(w, RMR_IO_FAILED, op->id, RMR_E_NOFILES);
        return;
    }
    s->region = op->addr.ip[3] == 242 ? 2 : 1;
}

/* \param which  A listener's place; the text is what the stream begins with. */
void fz_accept(fz_world *w, uint8_t which, rmr_bytes text)
{
    const fz_door *d = &w->doors[which % DOORS];
    rmr_io_event ev;
    if (!d->is_open || d->is_paused || w->is_stopped)
        return;
    fz_wire *s =
        fz_wire_new(w, RMR_IO_ADAPTER_ID | ++w->last_child, FAR_PROGRAM);
    if (!s)
        return;
    s->is_open = true;
    fz_wire_say(s, text.ptr, text.len);
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_ACCEPTED;
    ev.id = d->id;
    ev.child = s->id;
    ev.addr = rmr_addr_v4(127, 0, 0, 1, 50000);
    fz_event(w, &ev);
}

/* Streams under TLS begin with a byte of that. */
static void read_out(fz_world *w, fz_wire *s)
{
    if (!s->was_asked && s->out.len && s->far != FAR_PROGRAM) {
        s->was_asked = true;
        s->has_tls = s->out.p[0] == 0x16;
        if (s->has_tls) {
            fz_wire_say(s, "\x16", 1);
            fz_drop(&s->out, 1);
        }
    }
    if (s->far == FAR_CONTROL)
        fz_control_read(w, s);
    else if (s->far == FAR_WEB)
        fz_web_read(w, s);
    else /* it says all back */
        fz_wire_say(s, s->out.p, s->out.len);
    if (s->far == FAR_PROGRAM || s->ends)
        s->out.len = 0;
}

/* ---- operations ----------------------------------------------------------- */

void fz_wire_op(fz_world *w, const rmr_io_op *op)
{
    fz_wire *s = fz_wire_of(w, op->id);
    if (op->kind == RMR_IO_CLOSE || op->kind == RMR_IO_ABORT) {
        if (s)
            fz_wire_free(s);
        return;
    }
    need(s != NULL && s->is_open);
    switch (op->kind) {
    case RMR_IO_READ:
        need(op->credit > 0);
        s->credit += op->credit;
        break;
    case RMR_IO_STREAM_SEND:
        need(!s->is_sending && !s->is_shut && op->data.len > 0);
        s->is_sending = true;
        fz_add(&s->out, op->data.ptr, op->data.len);
        read_out(w, s);
        break;
    default:
        need(!s->is_shut);
        s->is_shut = true;
        s->ends = true;
        break;
    }
}

/* ---- events --------------------------------------------------------------- */

static bool tell_bytes(fz_world *w, fz_wire *s)
{
    size_t n = s->in.len < s->credit ? s->in.len : s->credit;
    rmr_io_event ev;
    if (n == 0)
        return false;
    uint8_t *copy = fz_copy(w, s->in.p, n);
    fz_drop(&s->in, n);
    s->credit -= n;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_BYTES;
    ev.id = s->id;
    ev.data = rmr_buf_of(copy, n);
    fz_event(w, &ev);
    free(copy);
    return true;
}

bool fz_wire_step(fz_world *w, fz_wire *s)
{
    if (!s->id)
        return false;
    if (!s->is_open) {
        s->is_open = true;
        fz_tell(w, RMR_IO_OPENED, s->id, RMR_OK);
    } else if (s->is_sending) {
        s->is_sending = false;
        fz_tell(w, RMR_IO_SENT, s->id, RMR_OK);
    } else if (tell_bytes(w, s)) {
        return true;
    } else if (s->ends && !s->eof_told && s->in.len == 0) {
        s->eof_told = true;
        fz_tell(w, RMR_IO_EOF, s->id, RMR_OK);
    } else {
        return false;
    }
    return true;
}
