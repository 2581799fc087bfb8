/* From a client's stream: frames, and what each does. */
#include "dsw_internal.h"

#include <remora/cursor.h>

#include <string.h>

#define LOGIN_FIRST 512 /* a usual ClientInfo has 109 bytes */
#define LOGIN_LONG 4096 /* what has more shares one half of login_bytes */
#define HOME_SETTLES (5 * RMR_SEC)
#define GONE_EVERY RMR_SEC /* PeerGone for unknown keys: one a second ... */
#define GONE_BURST 3       /* ... and so many at once                     */

static rmr_bytes bytes_of(rmr_buf b)
{
    return rmr_bytes_of(b.ptr, b.len);
}

static void advance(rmr_buf *in, size_t n)
{
    *in = rmr_buf_of(in->ptr + n, in->len - n);
}

static bool is_packet(uint8_t type)
{
    return type == RMR_DERP_SEND_PACKET || type == RMR_DERP_FORWARD_PACKET;
}

static size_t keys_of(uint8_t type)
{
    return type == RMR_DERP_FORWARD_PACKET ? 2 * RMR_KEY_LEN : RMR_KEY_LEN;
}

/* ---- packets ---------------------------------------------------------- */

static void tell_not_here(rmr_dsw *sw, rmri_dsw_client *c,
                          const uint8_t key[RMR_KEY_LEN])
{
    rmr_time from = c->gone_full_at > sw->now ? c->gone_full_at : sw->now;
    rmr_time full_at = rmr_time_add(from, GONE_EVERY);
    if (full_at - sw->now > GONE_BURST * GONE_EVERY)
        return;
    c->gone_full_at = full_at;
    rmri_dsw_tell_gone(sw, c, key, RMRI_DSW_GONE_UNKNOWN);
}

/* A packet as it came: `src` is NULL when it is c's own.  `whole` is the block
 * it lies in, or NULL; it is used up. */
typedef struct parcel {
    const uint8_t *src, *dst;
    rmr_bytes payload;
    rmri_dsw_pkt *whole;
} parcel;

static void forward(rmr_dsw *sw, rmri_dsw_client *c, const rmri_dsw_key *to,
                    const parcel *p)
{
    sw->stats.forwarded_out++;
    if (!sw->cb.on_forward)
        return;
    sw->in_callback = true;
    sw->cb.on_forward(sw->cb.user, to->claims->forwarder, c->public_key, p->dst,
                      p->payload);
    sw->in_callback = false;
}

static void drop_unknown(rmr_dsw *sw, rmri_dsw_client *c, rmr_dsw_kind kind,
                         const parcel *p)
{
    rmri_dsw_count_drop(
        sw, p->src ? RMR_DSW_UNKNOWN_DEST_ON_FWD : RMR_DSW_UNKNOWN_DEST, kind,
        p->payload.len);
    if (kind == RMR_DSW_DISCO)
        tell_not_here(sw, c, p->dst);
}

/* True: the block is in a queue now. */
static bool deliver(rmr_dsw *sw, rmri_dsw_client *c, const parcel *p)
{
    rmr_dsw_kind kind = rmri_dsw_kind_of(p->payload);
    const rmri_dsw_key *to = rmri_dsw_key_find_dst(sw, c, p->dst);
    if (!p->src) {
        sw->stats.rx_pkts++;
        sw->stats.rx_bytes += p->payload.len;
        sw->stats.rx_pkts_kind[kind]++;
    }
    if (to && to->active) {
        const uint8_t *src = p->src ? p->src : c->public_key;
        rmri_dsw_enqueue(sw, to->active, kind, p->src ? 0 : c->key->id, src,
                         p->payload, p->whole);
        return true;
    }
    if (to && to->claims && !p->src)
        forward(sw, c, to, p);
    else
        drop_unknown(sw, c, kind, p);
    return false;
}

/* `body` lies in the input. */
static void take_packet(rmr_dsw *sw, rmri_dsw_client *c, rmr_bytes body)
{
    size_t keys = keys_of(c->rx.header[0]);
    parcel p = {NULL, body.ptr, {body.ptr + keys, body.len - keys}, NULL};
    if (keys > RMR_KEY_LEN) {
        p.src = body.ptr;
        p.dst = body.ptr + RMR_KEY_LEN;
        sw->stats.forwarded_in++;
    }
    (void)deliver(sw, c, &p);
}

/* A packet that came in parts lies in its block. */
static void take_gathered(rmr_dsw *sw, rmri_dsw_client *c)
{
    uint8_t src[RMR_KEY_LEN], dst[RMR_KEY_LEN];
    rmri_dsw_pkt *k = c->rx.pkt;
    size_t keys = keys_of(c->rx.header[0]);
    uint8_t *payload = k->frame + RMRI_DERP_HEADER + RMR_KEY_LEN;
    parcel p = {NULL, dst, {payload, c->rx.body_len - keys}, k};
    rmri_dsw_due_clear(&sw->frames, &c->frame_due);
    sw->pool.gathered -= rmri_dsw_pkt_size(k);
    c->rx.pkt = NULL;
    memcpy(dst, payload - RMR_KEY_LEN, RMR_KEY_LEN);
    if (keys > RMR_KEY_LEN) {
        memcpy(src, payload - keys, RMR_KEY_LEN);
        p.src = src;
        sw->stats.forwarded_in++;
    }
    if (!deliver(sw, c, &p))
        rmri_dsw_pkt_free(sw, k);
}

/* ---- small frames ------------------------------------------------------ */

static void take_ping(rmr_dsw *sw, rmri_dsw_client *c)
{
    sw->stats.pings++;
    if (c->out & DSW_OUT_PONG)
        return; /* too fast: the one that waits is enough */
    memcpy(c->pong, c->rx.small, sizeof c->pong);
    c->out |= DSW_OUT_PONG;
    rmri_dsw_want_write(sw, c);
}

static void take_preferred(rmr_dsw *sw, rmri_dsw_client *c)
{
    bool on = c->rx.small[0] != 0;
    bool is_move = rmr_time_since(sw->now, c->up_at) > HOME_SETTLES;
    if (on == c->is_preferred)
        return;
    c->is_preferred = on;
    if (on) {
        sw->stats.homes++;
        sw->stats.home_moves_in += is_move;
    } else {
        sw->stats.homes--;
        sw->stats.home_moves_out += is_move;
    }
}

/* The body is over; of a small frame its beginning is in rx.small. */
static rmr_err take_small(rmr_dsw *sw, rmri_dsw_client *c)
{
    switch (c->rx.header[0]) {
    case RMR_DERP_PING:
        take_ping(sw, c);
        break;
    case RMR_DERP_NOTE_PREFERRED:
        take_preferred(sw, c);
        break;
    case RMR_DERP_WATCH_CONNS:
        return rmri_dsw_watch_start(sw, c);
    case RMR_DERP_CLOSE_PEER:
        rmri_dsw_close_key(sw, c->rx.small);
        break;
    default:
        sw->stats.unknown_frames++;
    }
    return RMR_OK;
}

/* ---- login ------------------------------------------------------------- */

/* On a yes, or an exemption, it is up when this returns. */
static rmr_err ask_admission(rmr_dsw *sw, rmri_dsw_client *c)
{
    rmr_dsw_client h = {c->id};
    rmr_dsw_info info;
    c->state = DSW_ADMIT;
    if (c->is_mesh || !sw->cb.on_admit)
        return rmri_dsw_go_up(sw, c);
    c->stage_end = rmr_time_add(sw->now, sw->cfg.admit_timeout);
    rmri_dsw_rearm(sw, c);
    (void)rmr_dsw_client_get(sw, h, &info);
    sw->in_callback = true;
    sw->cb.on_admit(sw->cb.user, h, &info);
    sw->in_callback = false;
    return RMR_OK;
}

static void free_login(rmr_dsw *sw, rmri_dsw_client *c)
{
    sw->login_used -= c->rx.login_cap;
    rmr_release_wiped(&sw->env.alloc, c->rx.login, c->rx.login_cap);
    c->rx.login = NULL;
    c->rx.login_cap = 0;
}

static rmr_err take_login(rmr_dsw *sw, rmri_dsw_client *c, rmr_buf body)
{
    rmr_err e = rmri_dsw_open_info(sw, c, body);
    if (c->rx.login)
        free_login(sw, c);
    return e == RMR_OK ? ask_admission(sw, c) : e;
}

/* Room for `need` bytes: it grows with what has come, so that a header alone
 * costs nothing. */
static bool login_room(rmr_dsw *sw, rmri_dsw_client *c, uint32_t need)
{
    rmri_dsw_rx *rx = &c->rx;
    uint32_t cap = rx->login_cap ? rx->login_cap : LOGIN_FIRST;
    if (need <= rx->login_cap)
        return true;
    while (cap < need)
        cap *= 2;
    if (cap > rx->body_len)
        cap = rx->body_len;
    size_t most = sw->cfg.login_bytes / (cap > LOGIN_LONG ? 2 : 1);
    if (sw->login_used - rx->login_cap + cap > most)
        return false;
    uint8_t *p = rmr_alloc_zero(&sw->env.alloc, cap, 16);
    if (!p)
        return false;
    if (rx->got)
        memcpy(p, rx->login, rx->got);
    rmr_release_wiped(&sw->env.alloc, rx->login, rx->login_cap);
    sw->login_used += cap - rx->login_cap;
    rx->login = p;
    rx->login_cap = cap;
    return true;
}

/* ---- framing ---------------------------------------------------------- */

static void end_frame(rmri_dsw_client *c)
{
    rmri_dsw_rx *rx = &c->rx;
    rx->header_len = 0;
    rx->is_begun = rx->has_tokens = false;
    rx->got = 0;
}

static bool is_length_ok(uint8_t type, uint32_t len)
{
    switch (type) {
    case RMR_DERP_SEND_PACKET:
    case RMR_DERP_FORWARD_PACKET:
        return len >= keys_of(type) &&
               len - keys_of(type) <= RMR_DERP_MAX_PACKET;
    case RMR_DERP_NOTE_PREFERRED:
        return len == 1;
    case RMR_DERP_WATCH_CONNS:
        return len == 0;
    case RMR_DERP_CLOSE_PEER:
        return len == RMR_KEY_LEN;
    case RMR_DERP_PING:
        return len >= 8 && len <= RMRI_DSW_PING_MAX;
    default:
        return len <= RMRI_DERP_MAX_FRAME;
    }
}

static bool is_for_mesh(uint8_t type)
{
    return type == RMR_DERP_FORWARD_PACKET || type == RMR_DERP_WATCH_CONNS ||
           type == RMR_DERP_CLOSE_PEER;
}

/* A header is whole: may it go on?  *wait: not yet. */
static rmr_err begin_frame(rmr_dsw *sw, rmri_dsw_client *c, bool *wait)
{
    rmri_dsw_rx *rx = &c->rx;
    uint8_t type = rx->header[0];
    rx->body_len = rmr_load_be32(rx->header + 1);
    if (c->state == DSW_LOGIN) {
        rx->is_begun = true;
        return type == RMR_DERP_CLIENT_INFO &&
                       rx->body_len >= RMRI_DSW_INFO_MIN &&
                       rx->body_len <= RMRI_DSW_INFO_MAX
                   ? RMR_OK
                   : RMR_E_DERP_LOGIN;
    }
    if (!is_length_ok(type, rx->body_len) || (is_for_mesh(type) && !c->is_mesh))
        return RMR_E_DERP_FRAME;
    if (!rx->has_tokens) {
        rmr_time at = rmri_dsw_take_tokens(sw, c, rx->body_len);
        rx->has_tokens = true;
        if (at > sw->now) {
            sw->stats.rate_waits++;
            c->resume_at = at;
            rmri_dsw_rearm(sw, c);
            *wait = true;
            return RMR_OK;
        }
    }
    rx->is_begun = true;
    rmri_dsw_note_activity(c);
    return RMR_OK;
}

static bool read_header(rmri_dsw_rx *rx, rmr_buf *in)
{
    size_t n = (size_t)(RMRI_DERP_HEADER - rx->header_len);
    if (n > in->len)
        n = in->len;
    if (n)
        memcpy(rx->header + rx->header_len, in->ptr, n);
    rx->header_len = (uint8_t)(rx->header_len + n);
    advance(in, n);
    return rx->header_len == RMRI_DERP_HEADER;
}

/* What there is of the body. */
static size_t piece(const rmri_dsw_rx *rx, const rmr_buf *in)
{
    size_t left = rx->body_len - rx->got;
    return left < in->len ? left : in->len;
}

static rmr_err read_login(rmr_dsw *sw, rmri_dsw_client *c, rmr_buf *in)
{
    rmri_dsw_rx *rx = &c->rx;
    size_t n = piece(rx, in);
    rmr_buf body = rmr_buf_of(in->ptr, n);
    if (n < rx->body_len) {
        if (n == 0)
            return RMR_OK;
        if (!login_room(sw, c, rx->got + (uint32_t)n))
            return RMR_E_NOMEM;
        memcpy(rx->login + rx->got, in->ptr, n);
        body = rmr_buf_of(rx->login, rx->body_len);
    }
    rx->got += (uint32_t)n;
    advance(in, n);
    if (rx->got < rx->body_len)
        return RMR_OK;
    end_frame(c);
    return take_login(sw, c, body);
}

/* The rest of the packet is read and thrown away. */
static void gather_drop(rmr_dsw *sw, rmri_dsw_client *c)
{
    rmri_dsw_rx *rx = &c->rx;
    rmri_dsw_due_clear(&sw->frames, &c->frame_due);
    rmri_dsw_count_drop(sw, RMR_DSW_QUEUE_TAIL, RMR_DSW_OTHER,
                        rx->body_len - keys_of(rx->header[0]));
    sw->pool.gathered -= rmri_dsw_pkt_size(rx->pkt);
    rmri_dsw_pkt_free(sw, rx->pkt);
    rx->pkt = NULL;
    rx->skip = rx->body_len - rx->got;
}

/* Half of the pool is for packets that come in parts.  Where it is used up, the
 * one that is the longest under way goes: those who begin frames and do not end
 * them must not stop the others. */
static bool gather_room(rmr_dsw *sw, size_t size)
{
    size_t most = sw->pool.max / 2;
    if (size > most)
        return false;
    while (sw->pool.gathered + size > most && sw->frames.head)
        gather_drop(sw, sw->frames.head->owner);
    return sw->pool.gathered + size <= most;
}

/* A block for a packet that comes in parts. */
static bool gather_begin(rmr_dsw *sw, rmri_dsw_client *c)
{
    rmri_dsw_rx *rx = &c->rx;
    rmri_dsw_pkt *p =
        rmri_dsw_pkt_new(sw, rx->body_len - keys_of(rx->header[0]));
    if (p && !gather_room(sw, rmri_dsw_pkt_size(p))) {
        rmri_dsw_pkt_free(sw, p);
        p = NULL;
    }
    if (!p) {
        sw->stats.nomem++;
        rmri_dsw_count_drop(sw, RMR_DSW_QUEUE_TAIL, RMR_DSW_OTHER,
                            rx->body_len - keys_of(rx->header[0]));
        rx->skip = rx->body_len;
        return false;
    }
    sw->pool.gathered += rmri_dsw_pkt_size(p);
    rx->pkt = p;
    if (sw->cfg.frame_timeout)
        rmri_dsw_due_set(&sw->frames, &c->frame_due,
                         rmr_time_add(sw->now, sw->cfg.frame_timeout));
    return true;
}

static void read_packet(rmr_dsw *sw, rmri_dsw_client *c, rmr_buf *in)
{
    rmri_dsw_rx *rx = &c->rx;
    size_t n = piece(rx, in);
    if (n == rx->body_len) {
        rmr_buf body = rmr_buf_of(in->ptr, n);
        advance(in, n);
        end_frame(c);
        take_packet(sw, c, bytes_of(body));
        return;
    }
    if (n == 0 || (!rx->pkt && !gather_begin(sw, c)))
        return;
    /* Where the payload will be in the right place: see rmri_dsw_pkt. */
    uint8_t *body = rx->pkt->frame + RMRI_DERP_HEADER + RMR_KEY_LEN -
                    keys_of(rx->header[0]);
    memcpy(body + rx->got, in->ptr, n);
    rx->got += (uint32_t)n;
    advance(in, n);
    if (rx->got < rx->body_len)
        return;
    end_frame(c);
    take_gathered(sw, c);
}

static rmr_err read_small(rmr_dsw *sw, rmri_dsw_client *c, rmr_buf *in)
{
    rmri_dsw_rx *rx = &c->rx;
    size_t n = piece(rx, in);
    if (rx->got < sizeof rx->small && n) {
        size_t room = sizeof rx->small - rx->got;
        memcpy(rx->small + rx->got, in->ptr, n < room ? n : room);
    }
    rx->got += (uint32_t)n;
    advance(in, n);
    if (rx->got < rx->body_len)
        return RMR_OK;
    end_frame(c);
    return take_small(sw, c);
}

static void read_skipped(rmri_dsw_client *c, rmr_buf *in)
{
    size_t n = c->rx.skip < in->len ? c->rx.skip : in->len;
    c->rx.skip -= (uint32_t)n;
    advance(in, n);
    if (c->rx.skip == 0)
        end_frame(c);
}

static rmr_err read_body(rmr_dsw *sw, rmri_dsw_client *c, rmr_buf *in)
{
    if (c->state == DSW_LOGIN)
        return read_login(sw, c, in);
    if (c->rx.skip)
        read_skipped(c, in);
    else if (is_packet(c->rx.header[0]))
        read_packet(sw, c, in);
    else
        return read_small(sw, c, in);
    return RMR_OK;
}

/* True: reading goes on. */
static bool may_read(const rmr_dsw *sw, rmri_dsw_client *c)
{
    if (c->state == DSW_ADMIT)
        return false;
    if (c->resume_at == RMR_TIME_NEVER)
        return true;
    return c->resume_at <= sw->now;
}

static rmr_err read_frames(rmr_dsw *sw, uint64_t id, rmr_buf *in)
{
    rmri_dsw_client *c;
    rmr_err e = RMR_OK;
    /* A callback may have closed it: it is looked up anew each time. */
    while (e == RMR_OK && (c = rmri_dsw_get(sw, id)) && c->state != DSW_DEAD) {
        bool wait = false;
        if (!may_read(sw, c))
            break;
        if (!c->rx.is_begun) {
            if (in->len == 0 && c->rx.header_len < RMRI_DERP_HEADER)
                break;
            if (!read_header(&c->rx, in))
                break;
            e = begin_frame(sw, c, &wait);
            if (e != RMR_OK || wait)
                continue;
        }
        bool is_empty = c->rx.body_len == 0;
        if (in->len == 0 && !is_empty)
            break;
        e = read_body(sw, c, in);
    }
    return e;
}

rmr_err rmr_dsw_read(rmr_dsw *sw, rmr_time now, rmr_dsw_client h, rmr_buf in,
                     size_t *used)
{
    size_t offered = in.len;
    rmri_dsw_client *c = rmri_dsw_get(sw, h.id);
    *used = offered;
    if (sw->in_callback) {
        *used = 0;
        return RMR_E_REENTRANT;
    }
    if (!c)
        return RMR_E_BADHANDLE;
    rmri_dsw_clamp(sw, now);
    if (c->state == DSW_DEAD)
        return RMR_E_CLOSED;
    c->is_stopped = false;
    rmr_err e = read_frames(sw, h.id, &in);
    c = rmri_dsw_get(sw, h.id);
    if (!c)
        return RMR_OK; /* the host closed it from a callback */
    if (e != RMR_OK)
        rmri_dsw_kill(sw, c, e);
    if (c->state == DSW_DEAD)
        return c->why;
    c->is_stopped = in.len != 0;
    *used = offered - in.len;
    return RMR_OK;
}
