/* The relay as a whole, as an adapter runs it: six clients, some of one key, in
 * any order and at any stage (requests, upgrades plain, with the fast start and
 * in WebSocket frames, logins, frames whole and cut, half closes, resets,
 * receivers that stand still), the verification URL, a relay of the mesh, STUN,
 * time, memory that fails.  Invariants: a packet reaches whom it was sent to,
 * once at most, from whom it says, and nobody before the login; packets add up;
 * nobody is admitted whom the URL did not admit; memory is bounded by what is
 * open; no operation names an object that is gone; deadlines that were handled
 * are gone; a send that is never done ends the stream; a stop is bounded; the
 * end gives everything back. */
#include <remora/cursor.h>
#include <remora/derp_srv.h>

#include "need.h"
#include "relay_internal.h"
#include "support.h"
#include "test_identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CLIENTS 6
#define KEYS 5 /* the last one is at the mesh, or nowhere */
#define LOCAL_KEYS 4
#define DIALS 12
#define IN_MAX ((size_t)160 * 1024) /* on its way to the relay */
#define SENT_MAX 4096
#define CIPHER_MAX ((size_t)160 * 1024) /* what a client did not hear yet */
#define RECORD_ROOM ((size_t)17 * 1024)
#define DIAL_CREDIT ((size_t)256 * 1024) /* of the machine kit's links */
#define FRAME_MAX ((size_t)5 + 64 + 65536 + 64)
#define STALL_MAX (100 * RMR_SEC) /* a keep-alive, and its write deadline */

static const uint8_t mesh_key[RMR_KEY_LEN] = {7};

/* ---- the world ------------------------------------------------------------ */

typedef struct stream {
    uint64_t id; /* 0: there is none */
    bool dialling, stalled, sending, shut, ended;
    rmr_time sending_since, dial_by;
    uint16_t port; /* it was dialled to */
    size_t credit, in_len;
    uint8_t in[IN_MAX];
} stream;

typedef struct frames { /* DERP frames as they pass */
    uint8_t head[5], body[64];
    size_t head_len;
    uint32_t body_len, got;
    uint64_t sum; /* of the payload */
} frames;

typedef struct client {
    int key;
    /* What it says. */
    bool wild; /* it said what this program does not follow */
    bool derp_out, ws_out, logged_in, exempt;
    frames out;
    rmr_tls *tls; /* NULL: plain */
    size_t plain_len, cipher_len;
    /* What it hears. */
    bool derp_in, ws_in, up;
    unsigned asked, answered, fast_after;
    char head[1024];
    size_t head_len, body_left, ws_left;
    uint8_t ws_head[10];
    size_t ws_head_len;
    frames in;
    stream s;
    uint8_t plain[IN_MAX], cipher[CIPHER_MAX]; /* to and from its TLS */
} client;

typedef struct dial {
    stream s;
    bool head_done; /* the mesh's request is over */
    uint32_t head_tail;
    frames out;
} dial;

typedef struct sent {
    uint64_t sum;
    unsigned n;
} sent;

typedef struct world {
    test_alloc mem;
    test_rng rng;
    rmr_relay *relay;
    rmr_machine m;
    rmr_time now;
    size_t step, base_bytes;
    uint64_t last_child;
    uint64_t door[RL_DOORS];
    bool stopped, verify_closed, has_tls;
    rmr_env client_env; /* of their TLS: its memory does not fail */
    test_alloc client_mem;
    test_rng client_rng;
    bool muddled[LOCAL_KEYS]; /* what it sends may be anything */
    bool any_muddled_mesh;
    unsigned yes; /* of "true", in order, from the verification URL */
    client c[CLIENTS];
    dial d[DIALS];
    sent sent[SENT_MAX];
    size_t n_sent;
    uint8_t scratch[RMR_IO_SCRATCH_MIN];
} world;

static struct {
    bool made;
    uint8_t relay_private[32], relay_public[32];
    uint8_t public_key[KEYS][32], shared[KEYS][32];
    uint8_t mesh_public[32], mesh_shared[32];
} keys;

static void make_key(uint8_t seed, uint8_t public_key[32], uint8_t shared[32])
{
    uint8_t private_key[32] = {0};
    private_key[1] = seed;
    rmr_key_clamp(private_key);
    rmr_x25519_public(public_key, private_key);
    need(rmr_box_shared(shared, private_key, keys.relay_public) == RMR_OK);
}

static void make_keys(void)
{
    if (keys.made)
        return;
    keys.relay_private[0] = 16;
    rmr_key_clamp(keys.relay_private);
    rmr_x25519_public(keys.relay_public, keys.relay_private);
    for (uint8_t i = 0; i < KEYS; i++)
        make_key((uint8_t)(1 + i), keys.public_key[i], keys.shared[i]);
    make_key(99, keys.mesh_public, keys.mesh_shared);
    keys.made = true;
}

/* ---- what was sent, and who may get it -------------------------------------- */

static uint64_t mix(uint64_t sum, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum = (sum ^ p[i]) * 0x100000001b3;
    return sum;
}

#define SUM_START 0xcbf29ce484222325

static sent *find_sent(world *w, uint64_t sum)
{
    for (size_t i = 0; i < w->n_sent; i++)
        if (w->sent[i].sum == sum)
            return &w->sent[i];
    return NULL;
}

static void note_sent(world *w, uint64_t sum)
{
    sent *s = find_sent(w, sum);
    if (!s) {
        need(w->n_sent < SENT_MAX);
        s = &w->sent[w->n_sent++];
        s->sum = sum;
        s->n = 0;
    }
    s->n++;
}

static void note_arrived(world *w, uint64_t sum, const uint8_t *src)
{
    sent *s = find_sent(w, sum);
    for (int i = 0; i < LOCAL_KEYS; i++)
        if (w->muddled[i] && memcmp(src, keys.public_key[i], 32) == 0)
            return;
    if (w->any_muddled_mesh)
        return;
    need(s != NULL && s->n > 0);
    s->n--;
}

static bool is_packet(uint8_t type)
{
    return type == RMR_DERP_SEND_PACKET || type == RMR_DERP_RECV_PACKET ||
           type == RMR_DERP_FORWARD_PACKET;
}

/* One byte more; true: a frame is whole with it. */
static bool follow(frames *f, uint8_t byte)
{
    if (f->head_len == 5 && f->got == f->body_len)
        f->head_len = 0;
    if (f->head_len < 5) {
        f->head[f->head_len++] = byte;
        f->body_len = rmr_load_be32(f->head + 1);
        f->got = 0;
        f->sum = SUM_START;
        return f->head_len == 5 && f->body_len == 0;
    }
    uint32_t keys_len = f->head[0] == RMR_DERP_FORWARD_PACKET ? 64 : 32;
    if (f->got < sizeof f->body)
        f->body[f->got] = byte;
    if (is_packet(f->head[0]) && f->got >= keys_len)
        f->sum = mix(f->sum, &byte, 1);
    return ++f->got == f->body_len;
}

static uint64_t packet_sum(const frames *f, const uint8_t src[32],
                           const uint8_t dst[32])
{
    return mix(mix(f->sum, src, 32), dst, 32);
}

/* What a client says; its packets are noted.  Cut ones may become anything. */
static void follow_out(world *w, client *c, const uint8_t *p, size_t n)
{
    frames *f = &c->out;
    for (size_t i = 0; i < n; i++) {
        if (!follow(f, p[i]))
            continue;
        if (f->head[0] == RMR_DERP_SEND_PACKET && f->body_len >= 32)
            note_sent(w, packet_sum(f, keys.public_key[c->key], f->body));
        if (f->head[0] == RMR_DERP_FORWARD_PACKET && f->body_len >= 64)
            note_sent(w, packet_sum(f, f->body, f->body + 32));
    }
}

/* ---- what a client hears ---------------------------------------------------- */

static void hear_frame(world *w, client *c)
{
    static const uint8_t magic[8] = {'D',  'E',  'R',  'P',
                                     0xf0, 0x9f, 0x94, 0x91};
    const frames *f = &c->in;
    switch (f->head[0]) {
    case RMR_DERP_SERVER_KEY:
        need(f->body_len == 40 && memcmp(f->body, magic, 8) == 0);
        need(memcmp(f->body + 8, keys.relay_public, 32) == 0);
        break;
    case RMR_DERP_SERVER_INFO:
        need(!c->up);
        need(c->logged_in || c->wild);
        need(!w->verify_closed || c->exempt || c->wild || w->yes >= 4);
        c->up = true;
        break;
    case RMR_DERP_RECV_PACKET:
        need(c->up && f->body_len >= 32 && f->body_len <= 32 + 65536);
        note_arrived(w, packet_sum(f, f->body, keys.public_key[c->key]),
                     f->body);
        break;
    case RMR_DERP_PEER_GONE:
        need(c->up && f->body_len == 33);
        break;
    case RMR_DERP_PEER_PRESENT:
        need(c->up && c->exempt && f->body_len == 51);
        break;
    case RMR_DERP_PONG:
        need(c->up && f->body_len == 8);
        break;
    case RMR_DERP_RESTARTING:
        need(c->up && f->body_len == 8);
        break;
    case RMR_DERP_KEEP_ALIVE:
        need(c->up && f->body_len == 0);
        break;
    default:
        need(false);
    }
}

static void hear_derp(world *w, client *c, uint8_t byte)
{
    if (follow(&c->in, byte))
        hear_frame(w, c);
}

static void hear_ws(world *w, client *c, uint8_t byte)
{
    if (c->ws_left > 0) {
        c->ws_left--;
        if ((c->ws_head[0] & 15) < 8)
            hear_derp(w, c, byte);
        return;
    }
    c->ws_head[c->ws_head_len++] = byte;
    if (c->ws_head_len < 2)
        return;
    uint8_t len = c->ws_head[1];
    need(len < 128); /* unmasked */
    size_t more = len == 126 ? 2 : len == 127 ? 8 : 0;
    if (c->ws_head_len < 2 + more)
        return;
    c->ws_left = len;
    if (len >= 126)
        c->ws_left = 0;
    for (size_t i = 0; i < more; i++)
        c->ws_left = c->ws_left << 8 | c->ws_head[2 + i];
    c->ws_head_len = 0;
}

static void hear_head(client *c)
{
    unsigned status = (unsigned)atoi(c->head + 9);
    const char *length = strstr(c->head, "Content-Length: ");
    need(memcmp(c->head, "HTTP/1.1 ", 9) == 0);
    need(status >= 101 && status <= 505);
    c->answered++;
    if (status == 101) {
        need(strstr(c->head, "Upgrade: ") != NULL);
        c->derp_in = true;
        return;
    }
    c->body_left = length ? (size_t)atoi(length + 16) : 0;
}

static void hear_http(client *c, uint8_t byte)
{
    if (c->body_left > 0) {
        c->body_left--;
        return;
    }
    need(c->head_len + 1 < sizeof c->head);
    c->head[c->head_len++] = (char)byte;
    c->head[c->head_len] = 0;
    if (c->head_len < 4 ||
        memcmp(c->head + c->head_len - 4, "\r\n\r\n", 4) != 0)
        return;
    hear_head(c);
    c->head_len = 0;
}

static void hear(world *w, client *c, rmr_bytes data)
{
    for (size_t i = 0; i < data.len && !c->wild; i++) {
        if (!c->derp_in && c->fast_after > 0 && c->body_left == 0 &&
            c->head_len == 0 && c->answered + 1 == c->fast_after)
            c->derp_in = true;
        if (!c->derp_in)
            hear_http(c, data.ptr[i]);
        else if (c->ws_in)
            hear_ws(w, c, data.ptr[i]);
        else
            hear_derp(w, c, data.ptr[i]);
    }
}

static void tls_out(client *c)
{
    for (;;) {
        rmr_buf place = {0};
        size_t len = 0;
        while (c->plain_len > 0 && rmr_tls_is_open(c->tls) &&
               rmr_tls_reserve(c->tls, &place) == RMR_OK && place.len > 0) {
            size_t n = c->plain_len < place.len ? c->plain_len : place.len;
            memcpy(place.ptr, c->plain, n);
            rmr_tls_commit(c->tls, n);
            c->plain_len -= n;
            memmove(c->plain, c->plain + n, c->plain_len);
        }
        if (c->s.ended || IN_MAX - c->s.in_len < RECORD_ROOM ||
            rmr_tls_write(c->tls,
                          rmr_buf_of(c->s.in + c->s.in_len, RECORD_ROOM),
                          &len) != RMR_OK ||
            len == 0)
            return;
        c->s.in_len += len;
    }
}

static void tls_in(world *w, client *c)
{
    size_t at = 0, used = 1;
    while (used > 0) {
        rmr_buf view;
        used = 0;
        if (rmr_tls_read(c->tls,
                         rmr_bytes_of(c->cipher + at, c->cipher_len - at),
                         &used) != RMR_OK)
            used = c->cipher_len - at; /* it broke */
        at += used;
        while (rmr_tls_peek(c->tls, &view) == RMR_OK && view.len > 0) {
            size_t len = view.len;
            hear(w, c, rmr_bytes_of(view.ptr, len));
            rmr_tls_consume(c->tls, len);
        }
        if (at == c->cipher_len)
            used = 0;
    }
    c->cipher_len -= at;
    memmove(c->cipher, c->cipher + at, c->cipher_len);
}

static void hear_stream(world *w, client *c, rmr_bytes data)
{
    if (c->wild)
        return;
    if (!c->tls) {
        hear(w, c, data);
        return;
    }
    need(data.len <= CIPHER_MAX - c->cipher_len);
    memcpy(c->cipher + c->cipher_len, data.ptr, data.len);
    c->cipher_len += data.len;
    tls_in(w, c);
}

/* What the relay says to the other relay: packets for the keys it claimed. */
static void hear_mesh(world *w, dial *d, rmr_bytes data)
{
    for (size_t i = 0; i < data.len; i++) {
        if (!d->head_done) {
            d->head_tail = d->head_tail << 8 | data.ptr[i];
            d->head_done = d->head_tail == 0x0d0a0d0a;
        } else if (follow(&d->out, data.ptr[i]) &&
                   d->out.head[0] == RMR_DERP_FORWARD_PACKET) {
            need(d->out.body_len >= 64);
            note_arrived(w, packet_sum(&d->out, d->out.body, d->out.body + 32),
                         d->out.body);
        }
    }
}

/* ---- the adapter ------------------------------------------------------------ */

static void give(world *w, const rmr_io_event *ev)
{
    rmr_err err = w->m.event(w->m.self, w->now, ev);
    need(err == RMR_OK);
}

static void answer(world *w, rmr_io_event_kind kind, uint64_t id, rmr_err err)
{
    rmr_io_event ev = {0};
    ev.kind = kind;
    ev.id = id;
    ev.err = err;
    give(w, &ev);
}

static stream *stream_of(world *w, uint64_t id)
{
    for (int i = 0; i < CLIENTS; i++)
        if (w->c[i].s.id == id)
            return &w->c[i].s;
    for (int i = 0; i < DIALS; i++)
        if (w->d[i].s.id == id)
            return &w->d[i].s;
    return NULL;
}

static void stream_begin(stream *s, uint64_t id)
{
    memset(s, 0, offsetof(stream, in));
    s->id = id;
}

static void open_door(world *w, const rmr_io_op *op)
{
    rmr_io_event ev = {0};
    static const uint16_t ports[RL_DOORS] = {3340, 80, 9090, 3478};
    for (int i = 0; i < RL_DOORS; i++)
        if (op->addr.port == ports[i])
            w->door[i] = op->id;
    ev.kind = RMR_IO_OPENED;
    ev.id = op->id;
    ev.addr = op->addr;
    give(w, &ev);
}

static void connect_out(world *w, const rmr_io_op *op)
{
    for (int i = 0; i < DIALS; i++) {
        dial *d = &w->d[i];
        if (d->s.id != 0)
            continue;
        stream_begin(&d->s, op->id);
        d->s.dialling = true;
        d->s.port = op->addr.port;
        d->s.dial_by = rmr_time_add(w->now, op->timeout);
        d->head_done = false;
        d->head_tail = 0;
        memset(&d->out, 0, sizeof d->out);
        return;
    }
    answer(w, RMR_IO_FAILED, op->id, RMR_E_REFUSED);
}

static void stream_send(world *w, const rmr_io_op *op)
{
    stream *s = stream_of(w, op->id);
    need(s && !s->sending && !s->shut && !s->dialling && op->data.len > 0);
    for (int i = 0; i < CLIENTS; i++)
        if (s == &w->c[i].s)
            hear_stream(w, &w->c[i], op->data);
    for (int i = 0; i < DIALS; i++)
        if (s == &w->d[i].s && s->port == 8080)
            hear_mesh(w, &w->d[i], op->data);
    s->sending = true;
    s->sending_since = w->now;
    if (!s->stalled) {
        s->sending = false;
        answer(w, RMR_IO_SENT, op->id, RMR_OK);
    }
}

static void close_any(world *w, uint64_t id)
{
    stream *s = stream_of(w, id);
    for (int i = 0; i < RL_DOORS; i++)
        if (w->door[i] == id)
            w->door[i] = 0;
    if (s)
        s->id = 0;
}

static void perform(world *w, const rmr_io_op *op)
{
    stream *s = NULL;
    switch (op->kind) {
    case RMR_IO_LISTEN:
    case RMR_IO_UDP_OPEN:
        open_door(w, op);
        break;
    case RMR_IO_CONNECT:
        connect_out(w, op);
        break;
    case RMR_IO_READ:
        s = stream_of(w, op->id);
        need(s && op->credit > 0);
        s->credit += op->credit;
        need(s->credit <= (s->port ? DIAL_CREDIT : RL_CREDIT));
        break;
    case RMR_IO_STREAM_SEND:
        stream_send(w, op);
        break;
    case RMR_IO_UDP_SEND:
        need(op->data.len <= 64);
        break;
    case RMR_IO_SHUTDOWN:
        s = stream_of(w, op->id);
        need(s != NULL);
        s->shut = true;
        break;
    case RMR_IO_CLOSE:
    case RMR_IO_ABORT:
        close_any(w, op->id);
        break;
    case RMR_IO_STOP:
        w->stopped = true;
        break;
    default:
        break;
    }
}

static void turn(world *w)
{
    for (int i = 0; i < 100000; i++) {
        rmr_io_op op;
        need(w->m.next_op(w->m.self, w->now,
                          rmr_buf_of(w->scratch, sizeof w->scratch),
                          &op) == RMR_OK);
        if (op.kind == RMR_IO_NONE)
            return;
        perform(w, &op);
    }
    need(false); /* it never comes to rest */
}

/* As much as the credit allows, in pieces. */
static void deliver(world *w, stream *s)
{
    size_t at = 0;
    uint64_t id = s->id;
    while (s->id != 0 && s->id == id && at < s->in_len && s->credit > 0) {
        rmr_io_event ev = {0};
        size_t n = s->in_len - at;
        n = n < s->credit ? n : s->credit;
        n = n < w->step ? n : w->step;
        uint8_t *copy = malloc(n);
        need(copy != NULL);
        memcpy(copy, s->in + at, n);
        s->credit -= n;
        at += n;
        ev.kind = RMR_IO_BYTES;
        ev.id = s->id;
        ev.data = rmr_buf_of(copy, n);
        give(w, &ev);
        free(copy);
        turn(w);
    }
    memmove(s->in, s->in + at, s->in_len - at);
    s->in_len -= at;
}

/* TLS answers what it heard. */
static void deliver_client(world *w, client *c)
{
    for (int i = 0; i < 10; i++) {
        if (c->s.id != 0 && c->tls && !c->wild)
            tls_out(c);
        size_t left = c->s.in_len;
        deliver(w, &c->s);
        if (!c->tls || c->s.id == 0 || c->s.in_len == left)
            break;
    }
}

static void deliver_all(world *w)
{
    for (int i = 0; i < CLIENTS; i++)
        deliver_client(w, &w->c[i]);
    for (int i = 0; i < DIALS; i++)
        deliver(w, &w->d[i].s);
}

/* All or nothing: a stream has no holes. */
static bool say(stream *s, const uint8_t *p, size_t n)
{
    if (s->id == 0 || s->ended || s->dialling || n > IN_MAX - s->in_len)
        return false;
    memcpy(s->in + s->in_len, p, n);
    s->in_len += n;
    return true;
}

/* The same through TLS, where there is some. */
static bool say_client(client *c, const uint8_t *p, size_t n)
{
    if (!c->tls || c->wild)
        return say(&c->s, p, n);
    if (c->s.id == 0 || c->s.ended || n > IN_MAX - c->plain_len)
        return false;
    memcpy(c->plain + c->plain_len, p, n);
    c->plain_len += n;
    return true;
}

/* ---- what a client does ------------------------------------------------------ */

static void client_tls(world *w, client *c)
{
    rmr_tls_config cfg;
    rmr_tls_config_init(&cfg, sizeof cfg);
    cfg.server_name = "derp.test";
    cfg.insecure = true;
    need(rmr_tls_client_new(&c->tls, &w->client_env, &cfg) == RMR_OK);
}

static void client_open(world *w, client *c, rl_door door, bool noise)
{
    rmr_io_event ev = {0};
    if (w->door[door] == 0)
        return;
    rmr_tls_free(c->tls);
    memset(c, 0, offsetof(client, s));
    stream_begin(&c->s, ++w->last_child);
    if (w->has_tls && door == RL_DOOR_RELAY && !noise)
        client_tls(w, c);
    c->key = (int)(c - w->c) % LOCAL_KEYS;
    ev.kind = RMR_IO_ACCEPTED;
    ev.id = w->door[door];
    ev.child = c->s.id;
    ev.addr = rmr_addr_v4(192, 0, 2, (uint8_t)c->key, 50000);
    give(w, &ev);
}

static void client_close(world *w, client *c, bool reset)
{
    uint64_t id = c->s.id;
    if (id == 0)
        return;
    if (reset) {
        c->s.id = 0;
        answer(w, RMR_IO_RESET, id, RMR_E_RESET);
    } else if (!c->s.ended) {
        deliver_client(w, c);
        if (c->s.id != id)
            return;
        c->s.ended = true;
        c->s.in_len = 0;
        answer(w, RMR_IO_EOF, id, RMR_OK);
    }
}

/* Bytes of DERP, in a message where it speaks WebSocket. */
static void say_derp(world *w, client *c, const uint8_t *p, size_t n)
{
    static uint8_t message[FRAME_MAX + 3 * 8];
    size_t len = 0;
    if (!c->derp_out || c->wild) {
        if (n > 0 && say_client(c, p, n))
            c->wild = true;
        if (c->wild)
            w->muddled[c->key] = true;
        return;
    }
    if (!c->ws_out) {
        if (say_client(c, p, n))
            follow_out(w, c, p, n);
        return;
    }
    for (size_t at = 0, k; at < n; at += k) {
        k = n - at < 32768 ? n - at : 32768;
        uint8_t *to = message + len;
        size_t head = k < 126 ? 2 : 4;
        to[0] = 0x82;
        to[1] = (uint8_t)(0x80 | (k < 126 ? k : 126));
        to[2] = (uint8_t)(k >> 8);
        to[3] = (uint8_t)k;
        memset(to + head, 0x5a, 4);
        for (size_t i = 0; i < k; i++)
            to[head + 4 + i] = p[at + i] ^ 0x5a;
        len += head + 4 + k;
    }
    if (say_client(c, message, len))
        follow_out(w, c, p, n);
}

static void put_head(uint8_t *p, uint8_t type, size_t len)
{
    p[0] = type;
    rmr_store_be32(p + 1, (uint32_t)len);
}

static void say_frame(world *w, client *c, uint8_t type, const uint8_t *body,
                      size_t n, size_t claimed)
{
    static uint8_t f[5 + 1024];
    need(n <= 1024);
    put_head(f, type, claimed);
    if (n > 0)
        memcpy(f + 5, body, n);
    say_derp(w, c, f, 5 + n);
}

static void request(client *c, uint8_t arg)
{
    static const char *const texts[] = {
        "GET /derp/probe HTTP/1.1\r\nHost: x\r\n\r\n",
        ("GET /generate_204 HTTP/1.1\r\nHost: x\r\n"
         "X-Tailscale-Challenge: ts_x\r\n\r\n"),
        "GET /derp HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
        "GET /bootstrap-dns HTTP/1.1\r\nHost: x\r\n\r\n",
        "CONNECT y:443 HTTP/1.1\r\nHost: y:443\r\n\r\n",
        "GET /debug/varz HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    };
    const char *text = texts[arg & 7];
    if (c->derp_out || c->wild)
        return;
    c->asked += say_client(c, (const uint8_t *)text, strlen(text));
}

static void upgrade(client *c, uint8_t arg)
{
    static const char plain[] = "GET /derp HTTP/1.1\r\nHost: x\r\n"
                                "Connection: Upgrade\r\nUpgrade: DERP\r\n";
    static const char ws[] =
        "GET /derp HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Protocol: derp\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    char text[512];
    bool fast = (arg & 3) == 1, is_ws = (arg & 3) == 2;
    snprintf(text, sizeof text, "%s%s%s%s", is_ws ? ws : plain,
             arg & 4 && !is_ws ? "Ideal-Node: 1a\r\n" : "",
             fast ? "Derp-Fast-Start: 1\r\n" : "", is_ws ? "" : "\r\n");
    if (c->derp_out || c->wild ||
        !say_client(c, (const uint8_t *)text, strlen(text)))
        return;
    c->asked++;
    c->derp_out = true;
    c->ws_out = c->ws_in = is_ws;
    if (fast)
        c->fast_after = c->asked;
}

static void login(world *w, client *c, uint8_t arg, const uint8_t *p, size_t n)
{
    static const char plain[] = "{\"version\":2,\"CanAckPings\":true}";
    uint8_t body[72 + 256] = {0};
    char mesh[96] = "{\"meshKey\":\"07", hex[3] = "00";
    rmr_bytes json = rmr_bytes_str(plain);
    for (int i = 1; i < 32; i++)
        strcat(mesh, hex);
    strcat(mesh, "\"}");
    if (arg & 1)
        json = rmr_bytes_str(mesh);
    else if (arg & 2)
        json = rmr_bytes_of(p, n < 256 ? n : 256);
    c->exempt = c->exempt || (arg & 3) != 0;
    c->logged_in = true;
    memcpy(body, keys.public_key[c->key], 32);
    rmr_box_seal(body + 56, keys.shared[c->key], body + 32, json);
    body[56] ^= arg & 4 ? 1 : 0;
    say_frame(w, c, RMR_DERP_CLIENT_INFO, body, 72 + json.len, 72 + json.len);
}

/* A packet to any key, of any length, of disco or not. */
static void send_packet(world *w, client *c, uint8_t arg, const uint8_t *p,
                        size_t n)
{
    static const uint16_t lengths[] = {0, 64, 1280, 40000};
    static uint8_t f[FRAME_MAX];
    static const uint8_t magic[6] = {0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac};
    size_t len = lengths[arg >> 6], at = 5;
    bool forward = arg & 8;
    memset(f, 0, 5 + 64 + len + n);
    if (forward) {
        memcpy(f + at, keys.public_key[(arg >> 4 & 3) % KEYS], 32);
        at += 32;
    }
    memcpy(f + at, keys.public_key[(arg & 7) % KEYS], 32);
    at += 32;
    if (len >= 64 && n > 0 && p[0] & 1)
        memcpy(f + at, magic, sizeof magic);
    if (n > 0)
        memcpy(f + at + len, p, n);
    put_head(f, forward ? RMR_DERP_FORWARD_PACKET : RMR_DERP_SEND_PACKET,
             at - 5 + len + n);
    say_derp(w, c, f, at + len + n);
}

static void control(world *w, client *c, uint8_t arg)
{
    static const uint8_t zeros[1001];
    switch (arg & 7) {
    case 0:
        say_frame(w, c, RMR_DERP_PING, zeros, 8 + (size_t)(arg >> 3) * 32,
                  8 + (size_t)(arg >> 3) * 32);
        break;
    case 1:
        say_frame(w, c, RMR_DERP_NOTE_PREFERRED, &arg, 1, 1);
        break;
    case 2:
        say_frame(w, c, RMR_DERP_WATCH_CONNS, NULL, 0, 0);
        break;
    case 3:
        say_frame(w, c, RMR_DERP_CLOSE_PEER, keys.public_key[(arg >> 3) % KEYS],
                  32, 32);
        break;
    case 4: /* the end of a WebSocket, a ping, noise */
        if (c->ws_out && !c->wild) {
            const uint8_t head[] = {
                (uint8_t)(0x88 + (arg >> 3 & 3)), 0x80, 1, 2, 3, 4};
            (void)say_client(c, head, sizeof head);
        }
        break;
    default:
        c->s.stalled = arg & 8;
        if (!c->s.stalled && c->s.sending) {
            c->s.sending = false;
            answer(w, RMR_IO_SENT, c->s.id, RMR_OK);
        }
    }
}

/* ---- the others --------------------------------------------------------------- */

static void close_dial(world *w, stream *s, uint8_t arg)
{
    uint64_t id = s->id;
    if (arg & 1) {
        s->id = 0;
        answer(w, RMR_IO_RESET, id, RMR_E_RESET);
    } else if (!s->ended) {
        s->ended = true;
        s->in_len = 0;
        answer(w, RMR_IO_EOF, id, RMR_OK);
    }
}

static void say_text(stream *s, const char *text)
{
    (void)say(s, (const uint8_t *)text, strlen(text));
}

/* The letters of "true" in order: without them there was no yes. */
static void verify_says(world *w, stream *s, uint8_t arg, const uint8_t *p,
                        size_t n)
{
    static const char yes[] = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n"
                              "{\"Allow\":true}";
    static const char no[] = "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n"
                             "{\"Allow\":false}";
    static const char bad[] = "HTTP/1.1 500 No\r\nContent-Length: 4\r\n"
                              "Connection: close\r\n\r\ntrue";
    if ((arg & 7) == 0) {
        w->yes = 4;
        say_text(s, yes);
    } else if ((arg & 7) == 1) {
        say_text(s, no);
    } else if ((arg & 7) == 2) {
        say_text(s, bad);
    } else {
        for (size_t i = 0; i < n && w->yes < 4; i++)
            w->yes += p[i] == (uint8_t) "true"[w->yes];
        (void)say(s, p, n);
    }
}

static void mesh_frame(stream *s, uint8_t type, const uint8_t *body, size_t n)
{
    uint8_t f[5 + 256];
    need(n <= 256);
    put_head(f, type, n);
    if (n > 0)
        memcpy(f + 5, body, n);
    (void)say(s, f, 5 + n);
}

static void mesh_says(stream *s, uint8_t arg, const uint8_t *p, size_t n)
{
    uint8_t body[64] = {'D', 'E', 'R', 'P', 0xf0, 0x9f, 0x94, 0x91};
    const char info[] = "{\"version\":2}";
    uint8_t key = (arg >> 3) % KEYS;
    switch (arg & 7) {
    case 0:
        say_text(s, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\n"
                    "Connection: Upgrade\r\n\r\n");
        memcpy(body + 8, arg & 8 ? keys.relay_public : keys.mesh_public, 32);
        mesh_frame(s, RMR_DERP_SERVER_KEY, body, 40);
        break;
    case 1:
        memset(body, 1, 24);
        rmr_box_seal(body + 24, keys.mesh_shared, body, rmr_bytes_str(info));
        mesh_frame(s, RMR_DERP_SERVER_INFO, body, 40 + sizeof info - 1);
        break;
    case 2:
    case 3:
        memset(body, 0, sizeof body);
        memcpy(body, keys.public_key[key], 32);
        mesh_frame(s, RMR_DERP_PEER_PRESENT, body, 51);
        break;
    case 4:
        memcpy(body, keys.public_key[key], 32);
        body[32] = 0;
        mesh_frame(s, RMR_DERP_PEER_GONE, body, 33);
        break;
    default:
        (void)say(s, p, n);
    }
}

/* One of the streams that the relay dialled. */
static void others(world *w, uint8_t op, uint8_t arg, const uint8_t *p,
                   size_t n)
{
    stream *s = &w->d[op >> 4 & 7].s;
    for (int i = 0; i < DIALS && s->id == 0; i++)
        s = &w->d[i].s;
    if (s->id == 0)
        return;
    if (s->dialling) {
        uint64_t id = s->id;
        s->dialling = false;
        if ((arg & 15) == 15)
            s->id = 0;
        answer(w, s->id ? RMR_IO_OPENED : RMR_IO_FAILED, id,
               s->id ? RMR_OK : RMR_E_REFUSED);
        return;
    }
    if (s->port == 8080)
        mesh_says(s, arg, p, n);
    else
        verify_says(w, s, arg, p, n);
}

static void stun(world *w, uint8_t arg, const uint8_t *p, size_t n)
{
    uint8_t copy[256];
    rmr_io_event ev = {0};
    if (w->door[RL_DOOR_STUN] == 0 || n == 0)
        return;
    memcpy(copy, p, n);
    ev.kind = RMR_IO_DATAGRAMS;
    ev.id = w->door[RL_DOOR_STUN];
    ev.addr = rmr_addr_v4(192, 0, 2, arg, 1);
    ev.data = rmr_buf_of(copy, n);
    ev.seg_size = arg & 1 ? 40 : 0;
    give(w, &ev);
}

static void outside(world *w, uint8_t arg)
{
    rl_door door = (rl_door)(arg >> 4 & 3);
    if (arg & 1)
        rmr_relay_set_rate(w->relay, w->now, (uint64_t)arg * 64, 0);
    else if ((arg & 15) == 14)
        answer(w, RMR_IO_STOP_REQUEST, 0, RMR_OK);
    else if ((arg & 2) && door != RL_DOOR_STUN && w->door[door] != 0)
        answer(w, RMR_IO_ACCEPT_FAILED, w->door[door], RMR_E_NOFILES);
    else if (w->door[RL_DOOR_STUN] != 0)
        answer(w, arg & 4 ? RMR_IO_BLOCKED : RMR_IO_WRITABLE,
               w->door[RL_DOOR_STUN], RMR_OK);
}

/* ---- time ---------------------------------------------------------------------- */

static void dials_time_out(world *w)
{
    for (int i = 0; i < DIALS; i++) {
        stream *s = &w->d[i].s;
        uint64_t id = s->id;
        if (id == 0 || !s->dialling || s->dial_by > w->now)
            continue;
        s->id = 0;
        answer(w, RMR_IO_FAILED, id, RMR_E_TIMEOUT);
    }
}

static void check_stalls(world *w)
{
    for (int i = 0; i < CLIENTS; i++) {
        const stream *s = &w->c[i].s;
        need(s->id == 0 || !s->sending ||
             rmr_time_since(w->now, s->sending_since) < STALL_MAX);
    }
}

static void sleep_for(world *w, rmr_dur d)
{
    rmr_time end = rmr_time_add(w->now, d);
    int left = 20000;
    while (!w->stopped && left-- > 0) {
        rmr_time at = w->m.next_deadline(w->m.self);
        for (int i = 0; i < DIALS; i++)
            if (w->d[i].s.id != 0 && w->d[i].s.dialling)
                at = rmr_time_min(at, w->d[i].s.dial_by);
        if (at > end)
            break;
        if (at > w->now)
            w->now = at;
        dials_time_out(w);
        need(w->m.handle_deadline(w->m.self, w->now) == RMR_OK);
        turn(w);
        deliver_all(w);
        need(w->stopped || w->m.next_deadline(w->m.self) > w->now);
    }
    need(left > 0);
    w->now = end;
    check_stalls(w);
}

/* ---- what must hold -------------------------------------------------------------- */

static void check_counters(const rmr_dsw_stats *st)
{
    uint64_t in = st->rx_pkts + st->forwarded_in;
    uint64_t out = st->tx_pkts + st->forwarded_out + st->queued_pkts;
    for (int reason = 0; reason < RMR_DSW_REASONS; reason++)
        for (int kind = 0; kind < RMR_DSW_KINDS; kind++)
            if (reason != RMR_DSW_WRITE_ERROR) /* sent, in part */
                out += st->dropped_pkts[reason][kind];
    need(in == out);
}

static void check(world *w)
{
    rmr_dsw_stats st;
    size_t open = 0;
    if (!w->relay->sw)
        return;
    rmr_dsw_get_stats(w->relay->sw, &st);
    for (int i = 0; i < CLIENTS; i++)
        open += w->c[i].s.id != 0;
    need(w->relay->n_conns <= open && st.connections <= w->relay->n_conns);
    need(st.queued_pkts <= st.connections * 2 * 512);
    need(st.pool_used_bytes <= st.connections * ((size_t)1 << 21));
    if (w->mem.failed == 0)
        check_counters(&st);
    need(w->mem.live_bytes <= w->base_bytes + st.pool_used_bytes +
                                  st.pool_free_bytes + (size_t)256 * 1024 +
                                  open * (size_t)320 * 1024);
}

/* Nothing that a client said lies for ever: it is read, or the client ends. */
static void check_progress(world *w)
{
    rmr_relay_set_rate(w->relay, w->now, 0, 0);
    turn(w);
    w->step = RL_CREDIT;
    for (int i = 0; i < CLIENTS; i++) {
        client *c = &w->c[i];
        c->s.stalled = false;
        if (c->s.id == 0 || !c->s.sending)
            continue;
        c->s.sending = false;
        answer(w, RMR_IO_SENT, c->s.id, RMR_OK);
        turn(w);
    }
    deliver_all(w);
    sleep_for(w, 40 * RMR_SEC);
    deliver_all(w);
    for (int i = 0; i < CLIENTS && !w->stopped; i++)
        need(w->c[i].s.id == 0 || w->c[i].s.ended || w->c[i].s.in_len == 0);
    for (const rl_conn *c = w->relay->conns; c && !w->stopped; c = c->next)
        need(c->held.len == 0 && c->piece.len == 0);
}

static void check_empty(world *w)
{
    rmr_dsw_stats st;
    for (int i = 0; i < CLIENTS; i++)
        client_close(w, &w->c[i], true);
    turn(w);
    if (!w->relay->sw)
        return;
    rmr_dsw_get_stats(w->relay->sw, &st);
    need(w->relay->n_conns == 0 && st.connections == 0 && st.clients == 0);
    need(st.pool_used_bytes == 0 && st.queued_pkts == 0 && st.notes == 0);
    need(st.keys_local == 0 && st.pairs == 0 && st.watchers == 0);
    need(w->relay->timers.len == 0);
}

/* ---- the program -------------------------------------------------------------------- */

static void operate(world *w, uint8_t op, uint8_t arg, const uint8_t *p,
                    size_t n)
{
    client *c = &w->c[(op >> 4) % CLIENTS];
    switch (op & 15) {
    case 0:
        if (c->s.id == 0)
            client_open(w, c,
                        arg & 8 ? (rl_door)(arg & 3) % RL_DOOR_STUN
                                : RL_DOOR_RELAY,
                        arg & 16);
        else
            client_close(w, c, arg & 1);
        break;
    case 1:
        upgrade(c, arg);
        break;
    case 2:
        login(w, c, arg, p, n);
        break;
    case 3:
    case 4:
        send_packet(w, c, arg, p, n);
        break;
    case 5: /* any frame, which may be cut */
        say_frame(w, c, n ? p[0] : 0, p + (n ? 1 : 0), n ? n - 1 : 0,
                  n + (arg & 128 ? arg : 0));
        break;
    case 6:
        request(c, arg);
        break;
    case 7:
        if (n > 0 && say(&c->s, p, n)) {
            c->wild = true;
            w->muddled[c->key] = true;
            w->any_muddled_mesh = w->any_muddled_mesh || c->exempt;
        }
        break;
    case 8:
        control(w, c, arg);
        break;
    case 9:
    case 10:
        others(w, op, arg, p, n);
        break;
    case 11:
        if (w->d[arg >> 4 & 7].s.id != 0 && !w->d[arg >> 4 & 7].s.dialling)
            close_dial(w, &w->d[arg >> 4 & 7].s, arg);
        break;
    case 12:
        stun(w, arg, p, n);
        break;
    case 13:
        outside(w, arg);
        break;
    case 14:
        w->step = arg ? arg : RL_CREDIT;
        break;
    default:
        sleep_for(w, (rmr_dur)arg * arg * 4 * RMR_MS);
    }
    turn(w);
    if (!(op & 0x80))
        deliver_all(w);
    check(w);
}

static bool has_bytes(uint8_t op)
{
    switch (op & 15) {
    case 2:
    case 3:
    case 4:
    case 5:
    case 7:
    case 9:
    case 10:
    case 12:
        return true;
    default:
        return false;
    }
}

static void run(world *w, const uint8_t *p, size_t left)
{
    while (left >= 2 && !w->stopped && w->n_sent + 64 < SENT_MAX) {
        uint8_t op = p[0], arg = p[1];
        size_t n = 0;
        p += 2;
        left -= 2;
        if (has_bytes(op) && left > 0) {
            n = *p++;
            left--;
        }
        n = n < left ? n : left;
        operate(w, op, arg, p, n);
        p += n;
        left -= n;
    }
}

static bool make(world *w, uint8_t flags)
{
    static const uint16_t ports[RL_DOORS] = {3340, 80, 9090, 3478};
    rmr_addr at[RL_DOORS];
    rmr_relay_config cfg;
    rmr_io_event ev = {0};
    rmr_dial mesh;
    test_rng_seed(&w->rng, 5);
    rmr_env env = test_env(&w->mem, &w->rng, NULL);
    for (int i = 0; i < RL_DOORS; i++)
        at[i] = rmr_addr_v4(127, 0, 0, 1, ports[i]);
    rmr_relay_config_init(&cfg, sizeof cfg);
    cfg.listen = &at[RL_DOOR_RELAY];
    cfg.http = &at[RL_DOOR_HTTP];
    cfg.metrics = &at[RL_DOOR_METRICS];
    cfg.stun = &at[RL_DOOR_STUN];
    cfg.n_listen = cfg.n_http = cfg.n_metrics = cfg.n_stun = 1;
    w->has_tls = flags & 64;
    cfg.insecure_http = !w->has_tls;
    if (w->has_tls) {
        cfg.cert_pem = rmr_bytes_str(test_identity_cert);
        cfg.key_pem = rmr_bytes_str(test_identity_key);
        cfg.tls_buffers = flags & 128 ? 2 : 16;
    }
    cfg.private_key = keys.relay_private;
    cfg.mesh_key = mesh_key;
    cfg.verify_url = flags & 1 ? "http://10.0.0.9:8081/verify" : NULL;
    cfg.verify_fail_closed = flags & 2;
    w->verify_closed = (flags & 3) == 3;
    need(rmr_relay_mesh_dial("http://10.0.0.8:8080", &mesh) == RMR_OK);
    cfg.mesh = &mesh;
    cfg.n_mesh = flags & 4 ? 1 : 0;
    cfg.rate_bytes = flags & 8 ? 20000 : 0;
    cfg.max_clients = flags & 32 ? 3 : 100;
    if (rmr_relay_new(&w->relay, &env, &cfg, w->now) != RMR_OK)
        return false;
    w->m = rmr_relay_machine(w->relay);
    ev.kind = RMR_IO_WALL;
    ev.wall_unix_ns = 1790000000u * RMR_SEC;
    give(w, &ev);
    turn(w);
    return true;
}

static void reset(world *w)
{
    for (int i = 0; i < CLIENTS; i++)
        stream_begin(&w->c[i].s, 0);
    for (int i = 0; i < DIALS; i++)
        stream_begin(&w->d[i].s, 0);
    memset(&w->mem, 0, sizeof w->mem);
    memset(&w->client_mem, 0, sizeof w->client_mem);
    test_rng_seed(&w->client_rng, 6);
    w->client_env = test_env(&w->client_mem, &w->client_rng, NULL);
    memset(w->door, 0, sizeof w->door);
    memset(w->muddled, 0, sizeof w->muddled);
    w->relay = NULL;
    w->stopped = w->verify_closed = w->any_muddled_mesh = false;
    w->yes = 0;
    w->n_sent = 0;
    w->now = 1000 * RMR_SEC;
    w->step = RL_CREDIT;
    w->last_child = RMR_IO_ADAPTER_ID;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static world w;
    if (size < 2 || rmr_crypto_init() != RMR_OK)
        return 0;
    make_keys();
    reset(&w);
    if (!make(&w, data[1]))
        return 0;
    w.base_bytes = w.mem.live_bytes;
    if (data[0] > 0) {
        w.mem.fail_at = w.mem.calls + data[0];
        w.mem.fail_after = data[1] & 16;
    }
    run(&w, data + 2, size - 2);
    if (!w.stopped && w.mem.failed == 0)
        check_progress(&w);
    if (!w.stopped) {
        check_empty(&w);
        answer(&w, RMR_IO_STOP_REQUEST, 0, RMR_OK);
        turn(&w);
        sleep_for(&w, 3 * RMR_SEC);
        need(w.stopped);
    }
    rmr_relay_free(w.relay);
    need(w.mem.live_blocks == 0);
    for (int i = 0; i < CLIENTS; i++) {
        rmr_tls_free(w.c[i].tls);
        w.c[i].tls = NULL;
    }
    return 0;
}
