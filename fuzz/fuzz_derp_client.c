/* A DERP client under a program of operations: streams that open, break and say
 * anything, sends, time, failing memory.  Two clients run side by side, one fed
 * in pieces; both must do the same.  The harness has the relay's key, so that
 * logins succeed.  Invariants: deadlines are later than the time handled,
 * memory is bounded, what is written is frames, nothing is written without a
 * stream. */
#include <remora/derp.h>

#include <remora/cursor.h>

#include "need.h"
#include "derp_internal.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char head_101[] = "HTTP/1.1 101 Switching Protocols\r\n"
                               "Upgrade: DERP\r\nConnection: Upgrade\r\n\r\n";

#define head_ws                                                                \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"               \
    "Connection: Upgrade\r\nSec-WebSocket-Protocol: derp\r\n"                  \
    "Sec-WebSocket-Accept: %s\r\n\r\n"

typedef struct client {
    rmr_derp *d;
    test_alloc mem;
    test_rng rng;
    size_t step;  /* of what it is fed */
    uint64_t sum; /* of all events and of what was written */
    bool up;
    /* what it writes: the request's end, then frames */
    unsigned matched; /* of "\r\n\r\n"; 4: frames */
    uint8_t header[5];
    size_t header_len, body_left;
} client;

typedef struct world {
    client c[2];
    rmr_time now;
    uint8_t client_private[32], client_public[32];
    uint8_t relay_private[32], relay_public[32], shared[32];
} world;

static void mix(client *c, const void *data, size_t n)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < n; i++)
        c->sum = (c->sum ^ p[i]) * 0x100000001b3;
    c->sum = (c->sum ^ n) * 0x100000001b3;
}

static void on_up(void *user)
{
    client *c = user;
    need(!c->up && rmr_derp_is_up(c->d));
    c->up = true;
    mix(c, "up", 2);
}

static void on_down(void *user, rmr_err why)
{
    client *c = user;
    need(!rmr_derp_is_up(c->d));
    c->up = false;
    mix(c, &why, sizeof why);
}

static void on_packet(void *user, const uint8_t src[RMR_KEY_LEN],
                      rmr_buf packet)
{
    client *c = user;
    need(packet.len <= RMR_DERP_MAX_PACKET);
    mix(c, src, RMR_KEY_LEN);
    mix(c, packet.ptr, packet.len);
    memset(packet.ptr, 0, packet.len);
    if (packet.len == 3)
        (void)rmr_derp_send(c->d, 0, src, rmr_bytes_of("re", 2));
}

static void on_peer_gone(void *user, const uint8_t key[RMR_KEY_LEN],
                         uint8_t reason)
{
    mix(user, key, RMR_KEY_LEN);
    mix(user, &reason, 1);
}

static void on_health(void *user, rmr_bytes text)
{
    mix(user, text.ptr, text.len);
}

/* ---- the operations, on one client ------------------------------------- */

static void feed(world *w, client *c, const uint8_t *p, size_t n)
{
    while (n) {
        size_t k = n < c->step ? n : c->step;
        uint8_t *copy = malloc(k);
        need(copy != NULL);
        memcpy(copy, p, k);
        rmr_err e = rmr_derp_read(c->d, w->now, rmr_buf_of(copy, k));
        free(copy);
        if (e != RMR_OK) {
            need(e == RMR_E_STATE || e == RMR_E_RNG || !c->up);
            break;
        }
        p += k;
        n -= k;
    }
}

/* As the relay sends it: in the WebSocket form one message, not masked. */
static void feed_frames(world *w, client *c, const uint8_t *p, size_t n)
{
    uint8_t message[4 + 512] = {0x82, 126, (uint8_t)(n >> 8), (uint8_t)n};
    if (!c->d->ws) {
        feed(w, c, p, n);
        return;
    }
    size_t head = n < 126 ? 2 : 4;
    if (head == 2)
        message[1] = (uint8_t)n;
    memcpy(message + head, p, n);
    feed(w, c, message, head + n);
}

/* What was written must be a request and whole frames; masked ones are not
 * looked into. */
static void follow(client *c, const uint8_t *p, size_t n)
{
    static const char end[] = "\r\n\r\n";
    if (c->d->by_ws)
        return;
    for (size_t i = 0; i < n; i++) {
        if (c->matched < 4) {
            c->matched = p[i] == (uint8_t)end[c->matched] ? c->matched + 1
                         : p[i] == '\r'                   ? 1
                                                          : 0;
        } else if (c->header_len < 5) {
            c->header[c->header_len++] = p[i];
            if (c->header_len < 5)
                continue;
            uint8_t t = c->header[0];
            c->body_left = rmr_load_be32(c->header + 1);
            need(t == RMR_DERP_CLIENT_INFO || t == RMR_DERP_SEND_PACKET ||
                 t == RMR_DERP_NOTE_PREFERRED || t == RMR_DERP_PING ||
                 t == RMR_DERP_PONG);
            need(c->body_left > 0 && c->body_left <= 32 + 65536);
        } else if (--c->body_left == 0) {
            c->header_len = 0;
        }
    }
}

static void write_some(world *w, client *c, size_t size)
{
    uint8_t buf[512];
    size_t n;
    bool stream = c->d->state >= DERP_UPGRADE;
    if (size > sizeof buf)
        size = sizeof buf;
    if (rmr_derp_write(c->d, w->now, rmr_buf_of(buf, size), &n) != RMR_OK)
        return;
    need(n <= size && (stream || n == 0));
    follow(c, buf, n);
    mix(c, buf, n);
}

static void begin_stream(world *w, client *c, uint8_t arg)
{
    rmr_dial dial;
    if (rmr_derp_wants_close(c->d))
        mix(c, "close", 5);
    if (!rmr_derp_wants_stream(c->d, w->now, &dial))
        return;
    mix(c, dial.host, strlen(dial.host));
    c->matched = 0;
    c->header_len = 0;
    if (arg & 1)
        rmr_derp_stream_closed(c->d, w->now, RMR_E_REFUSED);
    else
        (void)rmr_derp_stream_opened(c->d, w->now);
}

static void greet(world *w, client *c)
{
    uint8_t frame[45] = {RMR_DERP_SERVER_KEY,
                         0,
                         0,
                         0,
                         40,
                         0x44,
                         0x45,
                         0x52,
                         0x50,
                         0xf0,
                         0x9f,
                         0x94,
                         0x91};
    memcpy(frame + 13, w->relay_public, 32);
    char accept[RMR_WS_ACCEPT_LEN + 1], head[256];
    int n = snprintf(head, sizeof head, "%s", head_101);
    if (c->d->by_ws &&
        rmr_ws_accept_make(rmr_bytes_str(c->d->ws_key), accept) == RMR_OK)
        n = snprintf(head, sizeof head, head_ws, accept);
    feed(w, c, (const uint8_t *)head, (size_t)n);
    feed_frames(w, c, frame, sizeof frame);
}

static void tell_info(world *w, client *c, const uint8_t *json, size_t n)
{
    uint8_t frame[5 + 24 + 16 + 256] = {0};
    rmri_derp_put_header(frame, RMR_DERP_SERVER_INFO, 24 + 16 + n);
    rmr_box_seal(frame + 29, w->shared, frame + 5, rmr_bytes_of(json, n));
    feed_frames(w, c, frame, 45 + n);
}

static void packet(world *w, client *c, size_t n)
{
    static const uint8_t zeros[70000];
    (void)rmr_derp_send(c->d, w->now, w->relay_public, rmr_bytes_of(zeros, n));
}

static void handle(world *w, client *c)
{
    if (rmr_derp_handle_deadline(c->d, w->now) == RMR_OK)
        need(rmr_derp_next_deadline(c->d) > w->now);
    else
        need(rmr_derp_next_deadline(c->d) == RMR_TIME_NEVER);
}

static void check(client *c)
{
    need(rmr_derp_is_up(c->d) == c->up);
    need(rmr_derp_queued_bytes(c->d) <= 2048);
    /* nodes and object, queue, a body with its predecessor, the parser */
    need(c->mem.live_bytes < 180 * 1024);
}

static void operate(world *w, client *c, uint8_t op, uint8_t arg,
                    const uint8_t *p, size_t n)
{
    switch (op & 15) {
    case 0:
    case 1:
        begin_stream(w, c, arg);
        break;
    case 2:
        rmr_derp_stream_closed(c->d, w->now, arg & 1 ? RMR_OK : RMR_E_RESET);
        break;
    case 3:
        greet(w, c);
        break;
    case 4:
        tell_info(w, c, p, n);
        break;
    case 5:
        tell_info(w, c, (const uint8_t *)"{\"version\":2}", 13);
        break;
    case 6:
        feed(w, c, p, n);
        break;
    case 7:
        feed_frames(w, c, p, n);
        break;
    case 8:
        feed(w, c, p, n);
        break;
    case 9:
        packet(w, c, arg == 255 ? 65536 : arg * (size_t)4);
        break;
    case 10:
    case 11:
        write_some(w, c, arg * (size_t)2);
        break;
    case 12:
        rmr_derp_set_preferred(c->d, w->now, arg & 1);
        break;
    case 13:
        (void)rmr_derp_ping(c->d, w->now);
        break;
    default:
        handle(w, c);
    }
    check(c);
}

static bool make(world *w, client *c, uint8_t how)
{
    rmr_derp_node nodes[2];
    rmr_derp_callbacks cb = {sizeof cb,    c,         on_up, on_down, on_packet,
                             on_peer_gone, on_health, NULL};
    rmr_derp_config cfg;
    memset(nodes, 0, sizeof nodes);
    memcpy(nodes[0].dial.host, "a.example", 10);
    memcpy(nodes[1].dial.host, "b.example", 10);
    memcpy(nodes[0].name, "1a", 3);
    test_rng_seed(&c->rng, how);
    rmr_env env = test_env(&c->mem, &c->rng, NULL);
    rmr_derp_config_init(&cfg, sizeof cfg);
    memcpy(cfg.private_key, w->client_private, 32);
    cfg.nodes = nodes;
    cfg.n_nodes = 2;
    cfg.always_on = how & 1;
    cfg.preferred = how & 2;
    cfg.form = (rmr_derp_form)((how >> 2) % 3);
    cfg.queue_bytes = 2048;
    cfg.queue_pkts = 8;
    cfg.callbacks = &cb;
    return rmr_derp_new(&c->d, &env, &cfg, w->now) == RMR_OK;
}

static void run(world *w, const uint8_t *p, size_t left, bool twins)
{
    while (left >= 2) {
        uint8_t op = p[0], arg = p[1];
        p += 2;
        left -= 2;
        size_t n = 0;
        if ((op & 15) == 4 || ((op & 15) >= 6 && (op & 15) <= 8))
            n = arg < left ? arg : left;
        if ((op & 15) >= 14)
            w->now += (rmr_dur)arg * arg * 10 * RMR_MS;
        operate(w, &w->c[0], op, arg, p, n);
        if (twins) {
            operate(w, &w->c[1], op, arg, p, n);
            need(w->c[0].sum == w->c[1].sum);
        }
        p += n;
        left -= n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static world w;
    if (size < 3 || rmr_crypto_init() != RMR_OK)
        return 0;
    memset(&w, 0, sizeof w);
    w.now = RMR_SEC;
    w.client_private[0] = 8;
    w.relay_private[0] = 16;
    rmr_key_clamp(w.client_private);
    rmr_key_clamp(w.relay_private);
    rmr_x25519_public(w.client_public, w.client_private);
    rmr_x25519_public(w.relay_public, w.relay_private);
    need(rmr_box_shared(w.shared, w.relay_private, w.client_public) == RMR_OK);
    /* Failing memory fails the twins at different places: then one runs. */
    bool twins = data[1] == 0;
    w.c[0].mem.fail_at = data[1];
    w.c[0].step = 1 << 20;
    w.c[1].step = 1 + data[2] % 64;
    if (make(&w, &w.c[0], data[0]) && (!twins || make(&w, &w.c[1], data[0])))
        run(&w, data + 3, size - 3, twins);
    for (int i = 0; i < 2; i++) {
        rmr_derp_free(w.c[i].d);
        need(w.c[i].mem.live_blocks == 0);
    }
    return 0;
}
