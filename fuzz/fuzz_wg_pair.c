/*
 * Two tunnels and an attacker on the wire between them, over the real ciphers.
 * The input is a program of two bytes a step: what happens, and where.  He
 * drops, doubles, flips, swaps, holds back and replays; time passes, memory
 * fails, peers are removed in the middle.  Then he leaves, and both recover.
 */
#include <stdio.h>
#include <string.h>

#include "need.h"
#include "support.h"
#include "wg_internal.h"

enum {
    AIR = 96,      /* datagrams on the wire   */
    TAPE = 32,     /* that he remembers       */
    DG = 320,      /* longest                 */
    JOBS = 24,     /* of a side               */
    SENT = 4096,   /* inner packets in all    */
    MEMORY = 65536 /* of one tunnel, at most  */
};
/* Without the attacker a packet gets through within this time: a session that
 * only one side has is noticed after 15 s of silence, and each step of the
 * handshake, a cookie among them, may be one retry of 5 s away. */
#define RECOVERY (30 * RMR_SEC)

typedef struct dg {
    uint8_t d[DG];
    size_t n;
    int to;
} dg;

typedef struct job {
    rmr_wg_job j;
    uint8_t buf[DG];
    bool is_out, is_seal;
} job;

typedef struct side {
    struct world *w;
    rmr_wg *wg;
    rmr_wg_peer peer; /* id 0: not now */
    uint8_t priv[32], pub[32];
    rmr_wg_endpoint at;
    test_alloc alloc;
    test_rng rng;
    job jobs[JOBS];
    size_t n_delivered;
    uint32_t last_id; /* delivered, while nothing was done to the wire */
} side;

typedef struct world {
    rmr_time now;
    side s[2];
    dg air[AIR], tape[TAPE];
    size_t n_air, n_tape;
    bool honest;
    struct {
        uint8_t from, len, mark;
        bool delivered;
    } sent[SENT];
    uint32_t n_sent;
    struct { /* the last counter that left under each key */
        uint32_t index;
        uint64_t counter;
    } seen[2][16];
    size_t n_seen[2];
} world;

/* ---- inner packets: each has a number, and its bytes follow from it ------ */

enum { MARK_NONE, MARK_REMOVE, MARK_REPLY, N_MARKS };

static void put_packet(const world *w, uint32_t id, uint8_t *p)
{
    size_t len = w->sent[id].len;
    for (size_t i = 20; i < len; i++)
        p[i] = (uint8_t)(id * 31 + i);
    memset(p, 0, 20);
    p[0] = 0x45;
    p[3] = (uint8_t)len;
    p[12] = p[16] = 10;
    p[15] = (uint8_t)(1 + w->sent[id].from);
    p[19] = (uint8_t)(2 - w->sent[id].from);
    rmr_store_le32(p + 20, id);
}

static bool new_packet(world *w, int from, uint8_t arg, uint32_t *id)
{
    if (w->n_sent == SENT)
        return false;
    *id = w->n_sent++;
    w->sent[*id].from = (uint8_t)from;
    w->sent[*id].len = (uint8_t)(24 + arg % 120);
    w->sent[*id].mark = arg >= 250 ? 1 + arg % 2 : MARK_NONE;
    return true;
}

/* ---- the wire ------------------------------------------------------------ */

/* Under one key counters rise in the order in which datagrams leave. */
static void check_counter(world *w, int to, const uint8_t *d, size_t n)
{
    if (rmr_load_le32(d) != WG_DATA)
        return;
    need(n >= RMR_WG_OVERHEAD);
    uint32_t index = rmr_load_le32(d + 4);
    uint64_t counter = rmr_load_le64(d + 8);
    size_t i = 0, have = w->n_seen[to] < 16 ? w->n_seen[to] : 16;
    while (i < have && w->seen[to][i].index != index)
        i++;
    if (i < have)
        need(counter > w->seen[to][i].counter);
    else
        i = w->n_seen[to]++ % 16;
    w->seen[to][i].index = index;
    w->seen[to][i].counter = counter;
}

static void launch(world *w, int from, const uint8_t *d, size_t n)
{
    need(n >= RMR_WG_OVERHEAD && n <= DG);
    check_counter(w, 1 - from, d, n);
    dg x = {.n = n, .to = 1 - from};
    memcpy(x.d, d, n);
    w->tape[w->n_tape++ % TAPE] = x;
    if (w->n_air < AIR)
        w->air[w->n_air++] = x;
    else
        w->honest = false; /* lost */
}

static dg land(world *w, size_t i)
{
    dg x = w->air[i];
    memmove(&w->air[i], &w->air[i + 1], (--w->n_air - i) * sizeof x);
    return x;
}

/* ---- callbacks ----------------------------------------------------------- */

static void reply(side *s, rmr_wg_peer p, uint32_t id)
{
    uint8_t buf[DG];
    rmr_wg_endpoint to;
    rmr_pkt pkt = rmr_pkt_of(rmr_buf_of(buf, sizeof buf), 16);
    put_packet(s->w, id, rmr_pkt_put(&pkt, s->w->sent[id].len));
    if (rmr_wg_seal(s->wg, s->w->now, p, &pkt, &to) == RMR_OK)
        launch(s->w, (int)(s - s->w->s), rmr_pkt_data(&pkt), pkt.len);
}

static void on_packet(void *user, rmr_wg_peer p, rmr_buf packet)
{
    side *s = (side *)user;
    world *w = s->w;
    uint8_t want[DG];
    uint32_t id, answer;
    need(p.id == s->peer.id && packet.len >= 24);
    id = rmr_load_le32(packet.ptr + 20);
    need(id < w->n_sent && w->sent[id].from == 1 - (int)(s - w->s));
    need(packet.len == w->sent[id].len);
    put_packet(w, id, want);
    need(memcmp(packet.ptr, want, packet.len) == 0);
    need(!w->sent[id].delivered);
    w->sent[id].delivered = true;
    need(!w->honest || s->n_delivered == 0 || id > s->last_id);
    s->last_id = id;
    s->n_delivered++;
    need(rmr_wg_handle_deadline(s->wg, w->now) == RMR_E_REENTRANT);
    if (w->sent[id].mark == MARK_REMOVE) {
        need(rmr_wg_peer_remove(s->wg, w->now, p) == RMR_OK);
        s->peer.id = 0;
        w->honest = false;
    } else if (w->sent[id].mark == MARK_REPLY &&
               new_packet(w, (int)(s - w->s), 9, &answer)) {
        reply(s, p, answer);
    }
}

static void on_job(void *user, rmr_wg_job *j)
{
    side *s = (side *)user;
    job *x = (job *)j->user;
    need(x->is_out);
    x->is_out = false;
    if (x->is_seal && j->err == RMR_OK)
        launch(s->w, (int)(s - s->w->s), rmr_pkt_data(&j->pkt), j->pkt.len);
}

/* ---- the sides ----------------------------------------------------------- */

static void add_peer(world *w, int i)
{
    side *s = &w->s[i], *o = &w->s[1 - i];
    rmr_wg_peer_config pc;
    rmr_prefix theirs = {{10, 0, 0, (uint8_t)(2 - i)}, RMR_AF_INET, 32};
    rmr_wg_peer p;
    if (s->peer.id)
        return;
    rmr_wg_peer_config_init(&pc, sizeof pc);
    memcpy(pc.public_key, o->pub, 32);
    pc.endpoint = o->at;
    if (rmr_wg_peer_add(s->wg, w->now, &pc, &p))
        return;
    s->peer = p;
    if (rmr_wg_peer_set_allowed_ips(s->wg, p, &theirs, 1)) {
        need(rmr_wg_peer_remove(s->wg, w->now, p) == RMR_OK);
        s->peer.id = 0;
    }
}

static void open_side(world *w, int i)
{
    side *s = &w->s[i];
    rmr_wg_callbacks cb = {.struct_size = sizeof cb,
                           .user = s,
                           .on_packet = on_packet,
                           .on_job = on_job};
    rmr_env env = test_env(&s->alloc, &s->rng, NULL);
    rmr_wg_config cfg;
    s->w = w;
    test_rng_seed(&s->rng, (uint64_t)i + 1);
    memset(s->priv, 0x40 + i, 32);
    rmr_key_clamp(s->priv);
    rmr_x25519_public(s->pub, s->priv);
    s->at.len = s->at.bucket_len = 1;
    s->at.bytes[0] = (uint8_t)('a' + i);
    rmr_wg_config_init(&cfg, sizeof cfg);
    memcpy(cfg.private_key, s->priv, 32);
    cfg.wall_unix_ns = 1700000000u * RMR_SEC;
    cfg.max_peers = 2;
    cfg.max_staged_pkts = 16;
    cfg.load_per_second = 10;
    cfg.roam = true;
    cfg.aead = rmr_aead_default();
    cfg.callbacks = &cb;
    need(rmr_wg_new(&s->wg, &env, &cfg, w->now) == RMR_OK);
}

static void drain(world *w, int i, bool runs)
{
    uint8_t out[4096];
    rmr_wg_pkt_info info;
    size_t len, seg, total = 0;
    for (;;) {
        rmr_buf dst = rmr_buf_of(out, sizeof out);
        if (runs) {
            need(!rmr_wg_write_run(w->s[i].wg, w->now, dst, &len, &seg, &info));
        } else {
            need(!rmr_wg_write_pkt(w->s[i].wg, w->now, dst, &len, &info));
            seg = len;
        }
        if (!len)
            break;
        need(seg > 0 && seg <= len && ++total < 1000);
        for (size_t at = 0; at < len; at += seg)
            launch(w, i, out + at, len - at < seg ? len - at : seg);
    }
}

/* ---- sending ------------------------------------------------------------- */

static void send_copies(world *w, int i, uint8_t arg)
{
    uint8_t p[DG];
    uint32_t id;
    if (!new_packet(w, i, arg, &id))
        return;
    put_packet(w, id, p);
    (void)rmr_wg_send(w->s[i].wg, w->now, w->s[i].peer,
                      rmr_bytes_of(p, w->sent[id].len));
}

static void send_batch(world *w, int i, uint8_t arg)
{
    static uint8_t buf[80][DG];
    rmr_wg_out out[80];
    size_t n = 1 + arg % 80, made = 0;
    uint32_t id;
    for (; made < n && new_packet(w, i, arg, &id); made++) {
        out[made].peer = w->s[i].peer;
        out[made].pkt = rmr_pkt_of(rmr_buf_of(buf[made], DG), 16);
        put_packet(w, id, rmr_pkt_put(&out[made].pkt, w->sent[id].len));
    }
    need(rmr_wg_seal_n(w->s[i].wg, w->now, out, made) == RMR_OK);
    for (size_t k = 0; k < made; k++)
        if (out[k].err == RMR_OK)
            launch(w, i, rmr_pkt_data(&out[k].pkt), out[k].pkt.len);
}

static job *free_job(side *s)
{
    for (int k = 0; k < JOBS; k++)
        if (!s->jobs[k].is_out)
            return &s->jobs[k];
    return NULL;
}

static void send_job(world *w, int i, uint8_t arg)
{
    job *x = free_job(&w->s[i]);
    uint32_t id;
    if (!x || !new_packet(w, i, arg, &id))
        return;
    x->j.user = x;
    x->j.peer = w->s[i].peer;
    x->j.pkt = rmr_pkt_of(rmr_buf_of(x->buf, DG), 16);
    put_packet(w, id, rmr_pkt_put(&x->j.pkt, w->sent[id].len));
    x->is_seal = true;
    x->is_out = rmr_wg_job_seal(w->s[i].wg, w->now, &x->j) == RMR_OK;
}

/* ---- receiving ----------------------------------------------------------- */

/* The first of the wire that go to one side, as an array. */
static void deliver(world *w, size_t most)
{
    static dg x[AIR];
    rmr_wg_in in[AIR];
    size_t n = 0;
    while (n < most && w->n_air && (n == 0 || w->air[0].to == x[0].to)) {
        x[n] = land(w, 0);
        in[n].from = &w->s[1 - x[n].to].at;
        in[n].datagram = rmr_buf_of(x[n].d, x[n].n);
        in[n].ecn = 0;
        n++;
    }
    if (n)
        need(!rmr_wg_read_pkts(w->s[x[0].to].wg, w->now, in, n));
}

static void deliver_job(world *w, size_t at)
{
    bool is_out;
    if (at >= w->n_air)
        return;
    w->honest &= at == 0;
    dg x = land(w, at);
    side *s = &w->s[x.to];
    job *j = free_job(s);
    if (!j) {
        w->honest = false;
        return;
    }
    memcpy(j->buf, x.d, x.n);
    j->j.user = j;
    j->j.pkt = rmr_pkt_of(rmr_buf_of(j->buf, DG), 0);
    (void)rmr_pkt_put(&j->j.pkt, x.n);
    j->j.at = &w->s[1 - x.to].at;
    j->is_seal = false;
    j->is_out = true;
    rmr_err e = rmr_wg_job_read(s->wg, w->now, &j->j, &is_out);
    need(!e || !is_out);
    j->is_out = is_out;
    w->honest = false; /* what is read as an array overtakes jobs */
}

static void end_job(side *s, job *x)
{
    rmr_wg_job *list[1] = {&x->j};
    if (!x->is_out || x->j.state != 1)
        return; /* ended already, and waits for its turn; or its peer went */
    rmr_wg_job_run(rmr_aead_default(), list, 1);
    need(rmr_wg_job_end(s->wg, s->w->now, &x->j) == RMR_OK);
}

/* Those of removed peers have another state, and are ended the same way. */
static void end_lost(side *s, job *x)
{
    if (x->is_out && x->j.state == 3)
        need(rmr_wg_job_end(s->wg, s->w->now, &x->j) == RMR_OK);
}

/* ---- time ---------------------------------------------------------------- */

static void pass(world *w, rmr_dur d)
{
    w->now += d;
    for (int i = 0; i < 2; i++) {
        rmr_wg *wg = w->s[i].wg;
        rmr_time due = rmr_wg_next_deadline(wg);
        need(!rmr_wg_handle_deadline(wg, w->now));
        rmr_time next = rmr_wg_next_deadline(wg);
        need(due > w->now ? next == due : next > w->now);
    }
}

static void pass_some(world *w, uint8_t arg)
{
    static const rmr_dur steps[] = {
        RMR_MS,       20 * RMR_MS,   400 * RMR_MS,  RMR_SEC,
        5 * RMR_SEC,  6 * RMR_SEC,   11 * RMR_SEC,  16 * RMR_SEC,
        60 * RMR_SEC, 121 * RMR_SEC, 166 * RMR_SEC, 600 * RMR_SEC};
    pass(w, steps[arg % 12]);
}

/* ---- steps --------------------------------------------------------------- */

static void attack(world *w, uint8_t how, uint8_t arg)
{
    w->honest = false;
    if (how == 0) { /* one of the tape again */
        size_t have = w->n_tape < TAPE ? w->n_tape : TAPE;
        if (have && w->n_air < AIR)
            w->air[w->n_air++] = w->tape[arg % have];
        return;
    }
    if (!w->n_air)
        return;
    size_t at = arg % w->n_air;
    dg *x = &w->air[at], y;
    switch (how) {
    case 1:
        (void)land(w, at);
        break;
    case 2:
        if (w->n_air < AIR)
            w->air[w->n_air++] = *x;
        break;
    case 3: /* at once to the end of it: held back */
        y = land(w, at);
        w->air[w->n_air++] = y;
        break;
    case 4:
        if (x->n)
            x->d[(arg * 7u) % x->n] ^= (uint8_t)(1u << arg % 8);
        break;
    case 5:
        x->n = arg % (x->n + 1);
        break;
    default: /* back to who sent it */
        x->to = 1 - x->to;
        break;
    }
}

static void configure(world *w, int i, uint8_t arg)
{
    side *s = &w->s[i];
    switch (arg % 6) {
    case 0:
        (void)rmr_wg_peer_set_keepalive(s->wg, w->now, s->peer, arg / 6 % 30);
        break;
    case 1:
        (void)rmr_wg_peer_expire(s->wg, w->now, s->peer);
        break;
    case 2:
        rmr_wg_hint_load(s->wg, w->now);
        break;
    case 3:
        if (s->peer.id)
            need(!rmr_wg_peer_remove(s->wg, w->now, s->peer));
        s->peer.id = 0;
        w->honest = false;
        break;
    case 4:
        add_peer(w, i);
        break;
    default: /* the wall clock goes back or forth by an hour */
        rmr_wg_set_wall(s->wg, w->now,
                        (1700000000u + arg * 600u) * (uint64_t)RMR_SEC);
        break;
    }
}

/* What the tunnel says is the least of its peer's deadlines, always. */
static void check_deadline(const side *s)
{
    const wg_peer *p = rmri_wg_peer_of(s->wg, s->peer);
    rmr_time least = RMR_TIME_NEVER;
    for (int i = 0; p && i < WG_N_DEADLINES; i++)
        least = rmr_time_min(least, p->deadline[i]);
    need(rmr_wg_next_deadline(s->wg) == least);
}

static void step(world *w, uint8_t op, uint8_t arg)
{
    int i = op >> 7;
    side *s = &w->s[i];
    switch (op % 16) {
    case 0:
        send_copies(w, i, arg);
        break;
    case 1:
        send_batch(w, i, arg);
        break;
    case 2:
        send_job(w, i, arg);
        break;
    case 3:
        end_job(s, &s->jobs[arg % JOBS]);
        break;
    case 4:
        drain(w, i, arg & 1);
        break;
    case 5:
        deliver(w, 1 + arg);
        break;
    case 6:
        deliver_job(w, arg);
        break;
    case 7:
        pass_some(w, arg);
        break;
    case 8:
        s->alloc.fail_at = s->alloc.calls + 1 + arg % 6;
        w->honest = false;
        break;
    case 9:
        configure(w, i, arg);
        break;
    default:
        attack(w, op % 16 - 10, arg);
        if (op % 16 == 15)
            end_lost(s, &s->jobs[arg % JOBS]);
        break;
    }
    for (i = 0; i < 2; i++) {
        need(w->s[i].wg->stats.memory_bytes == w->s[i].alloc.live_bytes);
        need(w->s[i].alloc.live_bytes <= MEMORY);
        check_deadline(&w->s[i]);
    }
}

/* ---- the attacker leaves ------------------------------------------------- */

static void settle(world *w)
{
    for (int k = 0; k < 20; k++) {
        drain(w, 0, true);
        drain(w, 1, false);
        if (!w->n_air)
            return;
        while (w->n_air)
            deliver(w, AIR);
    }
    need(false); /* two honest sides talk without end */
}

static void recover(world *w)
{
    for (int i = 0; i < 2; i++) {
        w->s[i].alloc.fail_at = 0;
        for (int k = 0; k < JOBS; k++) {
            end_job(&w->s[i], &w->s[i].jobs[k]);
            end_lost(&w->s[i], &w->s[i].jobs[k]);
        }
    }
    pass(w, RMR_MS);
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < JOBS; k++)
            need(!w->s[i].jobs[k].is_out);
        need(w->s[i].wg->stats.memory_bytes == w->s[i].alloc.live_bytes);
        add_peer(w, i);
        need(w->s[i].peer.id != 0);
    }
    w->n_air = 0;
    settle(w);
    for (int to = 0; to < 2; to++) {
        rmr_time end = w->now + RECOVERY;
        size_t before = w->s[to].n_delivered;
        while (w->s[to].n_delivered == before) {
            need(w->now < end);
            if (w->n_sent == SENT)
                return;
            send_copies(w, 1 - to, 1);
            settle(w);
            if (w->s[to].n_delivered == before)
                pass(w, RMR_SEC);
            add_peer(w, 0); /* a late packet may have had one removed */
            add_peer(w, 1);
            settle(w);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static world w;
    need(rmr_crypto_init() == RMR_OK);
    memset(&w, 0, sizeof w);
    w.now = 1000 * RMR_SEC;
    w.honest = true;
    for (int i = 0; i < 2; i++)
        open_side(&w, i);
    for (int i = 0; i < 2; i++)
        add_peer(&w, i);
    for (; size >= 2 && w.n_sent < SENT - 200; size -= 2, data += 2)
        step(&w, data[0], data[1]);
    recover(&w);
    for (int i = 0; i < 2; i++) {
        rmr_wg_free(w.s[i].wg);
        need(w.s[i].alloc.live_blocks == 0);
    }
    return 0;
}
