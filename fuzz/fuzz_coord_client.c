/* Clients of fuzz_coord's server: they speak well as far as the fuzzer lets
 * them, and look at what map streams show. */
#include "fuzz_coord_world.h"

#include <remora/json.h>
#include <remora/text.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- bytes --------------------------------------------------------------- */

void fw_connect(client *c, unsigned door, unsigned from)
{
    world *w = c->w;
    rmr_addr at = rmr_addr_v4(127, 0, 0, (uint8_t)(1 + from % 3), 40000);
    if (c->id || w->io.stopped)
        return;
    c->id = w->io.last_child + 1; /* it may end in there */
    (void)fa_accept(&w->io, door, &at);
    fw_turn(w);
}

void fw_say(client *c, const uint8_t *p, size_t n)
{
    world *w = c->w;
    if (!c->id || n == 0 || w->io.stopped)
        return;
    fa_bytes(&w->io, c->id, p, n);
    fw_turn(w);
}

void fw_inside(client *c, const uint8_t *p, size_t len)
{
    uint8_t frame[RMR_TS_FRAME_MAX];
    while (len > 0 && c->inside) {
        size_t part = len < RMR_TS_PLAIN_MAX ? len : RMR_TS_PLAIN_MAX;
        fw_say(c, frame, ts_client_seal(&c->ts, frame, p, part));
        p += part;
        len -= part;
    }
}

void fw_gone(client *c)
{
    world *w = c->w;
    rmr_h2 *h2 = c->h2;
    c->h2 = NULL;
    rmr_h2_free(h2);
    rmr_ts_record_wipe(&c->ts.record);
    memset(c, 0, sizeof *c);
    c->w = w;
}

/* ---- what map streams show ----------------------------------------------- */

enum {
    F_NODE = 1,
    F_PEERS,
    F_CHANGED,
    F_REMOVED,
    F_PATCH,
    F_ID,
    F_PEER_ID,
    F_CHANGED_ID,
    F_PATCH_ID
};

static const rmr_json_field node_id[] = {{"ID", F_ID, NULL, 0}},
                            peer_id[] = {{"ID", F_PEER_ID, NULL, 0}},
                            changed_id[] = {{"ID", F_CHANGED_ID, NULL, 0}},
                            patch_id[] = {{"NodeID", F_PATCH_ID, NULL, 0}},
                            fields[] = {
                                {"Node", F_NODE, node_id, 1},
                                {"Peers", F_PEERS, peer_id, 1},
                                {"PeersChanged", F_CHANGED, changed_id, 1},
                                {"PeersRemoved", F_REMOVED, NULL, 0},
                                {"PeersChangedPatch", F_PATCH, patch_id, 1}};

static rmr_err on_nest(void *user, uint32_t id, rmr_json_kind kind)
{
    (void)user;
    (void)id;
    (void)kind;
    return RMR_OK;
}

static bool of_key(const world *w, const uint8_t *key, rmr_coord_node *out)
{
    for (uint64_t id = 0; rmr_coord_node_next(w->coord, id, out) == RMR_OK;
         id = out->id) {
        if (memcmp(out->node_key, key, RMR_KEY_LEN) == 0)
            return true;
    }
    return false;
}

static bool is_alice(const world *w, uint64_t user)
{
    rmr_coord_user u;
    return user && rmr_coord_user_get(w->coord, user, NULL, &u) == RMR_OK &&
           strcmp(u.name, "alice") == 0;
}

static bool has_tag_t(const rmr_coord_node *n)
{
    for (size_t i = 0; i < n->n_tags; i++) {
        if (strcmp(n->tags[i], "tag:t") == 0)
            return true;
    }
    return false;
}

/* By the rules as users are told them, and not by the server's functions. */
static bool may_see(const answer *a, uint64_t id)
{
    const world *w = a->of->w;
    rmr_coord_node viewer, peer;
    if (!of_key(w, a->node, &viewer))
        return true; /* it has another key by now */
    if (rmr_coord_node_get(w->coord, id, &peer) != RMR_OK ||
        peer.id == viewer.id)
        return false;
    bool own = viewer.user == peer.user && !viewer.n_tags && !peer.n_tags;
    switch (w->policy) {
    case FW_ISOLATED:
        return w->open || own;
    case FW_ALICE:
        return own && is_alice(w, viewer.user);
    case FW_TAGGED:
        return has_tag_t(&viewer) || has_tag_t(&peer);
    default:
        return true;
    }
}

static bool knows(const answer *a, uint64_t id)
{
    return a->known[id / 64 % 4] >> id % 64 & 1;
}

static void learn(answer *a, uint64_t id)
{
    need(may_see(a, id) || a->of->w->lags);
    a->known[id / 64 % 4] |= (uint64_t)1 << id % 64;
}

static rmr_err on_value(void *user, uint32_t id, rmr_json_kind kind,
                        rmr_bytes text)
{
    answer *a = user;
    int64_t v = 0;
    need(kind == RMR_JSON_NUMBER && rmr_json_int(kind, text, &v) == RMR_OK);
    uint64_t node = (uint64_t)v;
    switch (id) {
    case F_PEER_ID:
        need(!a->began);
        learn(a, node);
        break;
    case F_CHANGED_ID:
        need(a->began);
        learn(a, node);
        break;
    case F_PATCH_ID:
        need(knows(a, node) && (may_see(a, node) || a->of->w->lags));
        break;
    case F_REMOVED:
        need(knows(a, node));
        a->known[node / 64 % 4] &= ~((uint64_t)1 << node % 64);
        break;
    default:
        break;
    }
    return RMR_OK;
}

/* Each frame is JSON, and shows what may be seen. */
static void look_at(answer *a, rmr_bytes frame)
{
    static uint8_t scratch[8192];
    rmr_json_bind b;
    const rmr_json_bind_callbacks cb = {a, on_nest, on_value};
    static const char keep_alive[] = "{\"KeepAlive\":true}";
    rmr_json_bind_init(&b, rmr_buf_of(scratch, sizeof scratch), fields,
                       sizeof fields / sizeof fields[0], &cb);
    need(rmr_json_bind_feed(&b, frame) == RMR_OK &&
         rmr_json_bind_end(&b) == RMR_OK);
    a->began |= !rmr_bytes_eq_str(frame, keep_alive);
}

static void frames(answer *a)
{
    size_t at = 0;
    while (a->len - at >= 4) {
        const uint8_t *p = a->frame + at;
        size_t n = p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16;
        if (a->len - at - 4 < n)
            break;
        if (!a->zstd)
            look_at(a, rmr_bytes_of(p + 4, n));
        at += 4 + n;
    }
    memmove(a->frame, a->frame + at, a->len - at);
    a->len -= at;
}

/* ---- answers ------------------------------------------------------------- */

static void on_head(void *user, void *tag, int32_t id, uint16_t status,
                    const rmr_header *h, size_t n)
{
    answer *a = tag;
    (void)user;
    (void)id;
    (void)h;
    (void)n;
    a->status = status;
}

static void on_body(void *user, void *tag, int32_t id, rmr_bytes data)
{
    client *c = user;
    answer *a = tag;
    if (a->stream && a->status == 200) {
        need(data.len <= sizeof a->frame - a->len);
        memcpy(a->frame + a->len, data.ptr, data.len);
        a->len += data.len;
        frames(a);
    }
    (void)rmr_h2_consume(c->h2, id, data.len);
}

static void on_close(void *user, void *tag, int32_t id, rmr_err why)
{
    answer *a = tag;
    (void)user;
    (void)id;
    (void)why;
    a->used = false;
}

static rmr_err on_plain(void *user, rmr_buf plain)
{
    client *c = user;
    if (!c->h2)
        return RMR_OK;
    need(rmr_h2_read(c->h2, rmr_bytes_of(plain.ptr, plain.len)) == RMR_OK);
    return RMR_OK;
}

/* Up to the end of the 101, and the answer to the handshake. */
static void enter(client *c)
{
    size_t at = 0;
    while (at + 4 <= c->n_got && memcmp(c->got + at, "\r\n\r\n", 4) != 0)
        at++;
    at += 4;
    if (c->inside || at + RMR_TS_RESP_LEN > c->n_got ||
        !ts_client_welcome(&c->ts, c->got + at))
        return;
    c->inside = true;
    size_t rest = c->n_got - at - RMR_TS_RESP_LEN;
    uint8_t *p = malloc(rest + 1);
    need(p != NULL);
    memcpy(p, c->got + at + RMR_TS_RESP_LEN, rest);
    need(rmr_ts_record_read(&c->ts.record, rmr_buf_of(p, rest), on_plain, c) ==
         RMR_OK);
    free(p);
}

void fw_hears(client *c, rmr_bytes data)
{
    if (c->inside && !c->wraps) {
        uint8_t *p = malloc(data.len);
        need(p != NULL);
        memcpy(p, data.ptr, data.len);
        need(rmr_ts_record_read(&c->ts.record, rmr_buf_of(p, data.len),
                                on_plain, c) == RMR_OK);
        free(p);
        return;
    }
    size_t n = sizeof c->got - c->n_got;
    n = data.len < n ? data.len : n;
    memcpy(c->got + c->n_got, data.ptr, n);
    c->n_got += n;
}

/* ---- what a good client says --------------------------------------------- */

static void speak_h2(client *c)
{
    rmr_env env = test_env(NULL, NULL, NULL);
    rmr_h2_config cfg;
    memset(&cfg, 0, sizeof cfg);
    cfg.callbacks.user = c;
    cfg.callbacks.on_head = on_head;
    cfg.callbacks.on_body = on_body;
    cfg.callbacks.on_close = on_close;
    need(rmr_h2_client_new(&c->h2, &env, &cfg) == RMR_OK);
}

/* how: 0 and 1: by POST, its own HTTP/2 or the fuzzer's frames; 2: in
 * WebSocket frames; 3: too old. */
void fw_join(client *c, uint8_t machine, unsigned how)
{
    char text[RMR_BASE64_LEN(RMR_TS_INIT_LEN) + 1], head[640];
    if (!c->id || c->inside)
        return;
    c->machine = machine;
    ts_client_begin(&c->ts, c->w->public_key, machine,
                    how % 4 == 3 ? 112 : 138);
    if (how % 4 == 2)
        (void)snprintf(head, sizeof head,
                       "GET /ts2021?X-Tailscale-Handshake=%s HTTP/1.1\r\n"
                       "Host: h\r\nConnection: upgrade\r\nUpgrade: websocket"
                       "\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
                       "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: "
                       "tailscale-control-protocol\r\n\r\n",
                       rmr_base64(text, c->ts.hello, sizeof c->ts.hello));
    else
        ts_client_head(&c->ts, head);
    c->n_got = 0;
    c->wraps = how % 4 == 2;
    if (how % 4 == 0 && !c->h2)
        speak_h2(c);
    fw_say(c, (const uint8_t *)head, strlen(head));
    if (c->id && !c->wraps)
        enter(c);
    fw_pump(c);
}

void fw_pump(client *c)
{
    uint8_t frame[RMR_TS_FRAME_MAX];
    size_t n;
    while (c->h2 && c->inside && (n = ts_client_say(&c->ts, c->h2, frame)) > 0)
        fw_say(c, frame, n);
}

static void ask(client *c, const char *method, const char *path, rmr_bytes body,
                const uint8_t *node, bool stream, bool zstd)
{
    answer *a = &c->answers[c->turn++ % ANSWERS];
    int32_t id;
    if (!c->h2 || a->used)
        return;
    memset(a, 0, sizeof *a);
    a->of = c;
    a->stream = stream;
    a->zstd = zstd;
    memcpy(a->node, node, sizeof a->node);
    a->used = rmr_h2_request(c->h2, method, "h", path, NULL, 0, body, a, &id) ==
              RMR_OK;
    fw_pump(c);
}

void fw_ask(client *c, const char *path, rmr_bytes body, const uint8_t *node,
            bool stream, bool zstd)
{
    ask(c, "POST", path, body, node, stream, zstd);
}

void fw_get(client *c, const char *path)
{
    static const uint8_t nobody[RMR_KEY_LEN];
    ask(c, "GET", path, rmr_bytes_of(NULL, 0), nobody, false, false);
}
