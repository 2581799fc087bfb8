/* Punching between a hard NAT, which maps each destination to another port, and
 * an easy one, which does not.  Neither side can know the hard side's port; but
 * with 256 sockets there are 256 of them, and a thousand guesses of the easy
 * side meet one of them in 98 of 100 cases (the birthday paradox).  Remora's
 * own: others ignore the messages.  The rules, and what bounds the harm that a
 * lying peer can do, are in README.md. */
#include "path_internal.h"

#include <remora/cursor.h>

#include <string.h>

#define FIRST_PORT 1024
#define BURST 32 /* probes at once when the host was late */
#define REFUSE_LONG 960
#define REFUSE_SHORT 60

static void arm(rmr_paths *p)
{
    path_punch *u = &p->punch;
    rmr_time at = RMR_TIME_NEVER;
    if (u->state != PUNCH_IDLE)
        at = rmr_time_min(u->end, rmr_time_min(u->tick_at, u->again_at));
    (void)rmr_timers_set(&p->timers, &u->timer, at); /* has its place */
}

bool rmri_path_is_punching(const rmr_paths *p, const path_peer *peer)
{
    return p->punch.state != PUNCH_IDLE && p->punch.peer == peer->id;
}

static rmr_dur rest(const path_peer *peer)
{
    rmr_dur d = PUNCH_REST;
    for (uint8_t i = 1; i < peer->punch_fails && d < PUNCH_REST_MAX; i++)
        d *= 3;
    return d < PUNCH_REST_MAX ? d : PUNCH_REST_MAX;
}

static void say(rmr_paths *p, const path_peer *peer, uint8_t kind,
                const uint8_t session[RMR_DISCO_TXID_LEN], uint16_t count,
                const rmr_addr *about)
{
    path_out o = {.kind = OUT_PUNCH,
                  .peer = peer->id,
                  .punch_kind = kind,
                  .count = count};
    o.region = rmri_path_region(p, peer);
    if (about)
        o.about = *about;
    memcpy(o.txid, session, sizeof o.txid);
    if (o.region)
        (void)rmri_path_push(p, &o);
}

static void begin(rmr_paths *p, rmr_time now, const path_peer *peer,
                  uint8_t state, rmr_dur length)
{
    path_punch *u = &p->punch;
    u->state = state;
    u->peer = peer->id;
    u->sent = 0;
    u->began = now;
    u->end = rmr_time_add(now, length);
    u->tick_at = RMR_TIME_NEVER;
    u->again_at = RMR_TIME_NEVER;
}

/* ---- the end ---------------------------------------------------------- */

/* Paths by sockets that did not win go with them. */
static void close_losers(rmr_paths *p, path_peer *peer)
{
    path_hot *h = peer->hot;
    uint16_t winner = h ? h->best.socket : 0;
    for (size_t i = h ? h->n_cands : 0; i-- > 0;)
        if (h->cands[i].socket && h->cands[i].socket != winner)
            rmri_path_cand_delete(p, h, i);
    rmri_path_socks_close(p, peer->id, winner);
}

void rmri_path_punch_end(rmr_paths *p, rmr_time now, bool failed)
{
    path_punch *u = &p->punch;
    path_peer *peer = rmr_slots_get(&p->peers, u->peer);
    bool hard = u->state == PUNCH_HARD;
    if (u->state == PUNCH_IDLE)
        return;
    u->state = PUNCH_IDLE;
    rmr_wipe(&u->secret, sizeof u->secret);
    arm(p);
    if (!peer)
        return;
    if (failed) {
        p->stats.punches_failed++;
        if (peer->punch_fails < UINT8_MAX)
            peer->punch_fails++;
    }
    peer->punch_next = rmr_time_add(now, rest(peer));
    if (hard)
        close_losers(p, peer);
}

/* Did the punch make that path?  Who only had a third one probed and came by
 * another way has not earned a shorter rest. */
static bool is_by_punch(const path_punch *u, const path_hot *h)
{
    return u->state != PUNCH_OFFERED &&
           rmr_addr_ip_eq(&h->best.udp, &u->target);
}

/* A pong came: is the peer reached straight now? */
void rmri_path_punch_won(rmr_paths *p, rmr_time now, path_hot *h)
{
    path_punch *u = &p->punch;
    if (!rmri_path_is_punching(p, h->peer) ||
        h->best.udp.family == RMR_AF_NONE || now > h->trust_until)
        return;
    bool won = is_by_punch(u, h);
    p->stats.punches_won += won;
    if (won)
        h->peer->punch_fails = 0;
    rmri_path_punch_end(p, now, !won && u->state != PUNCH_OFFERED);
}

/* ---- probes ----------------------------------------------------------- */

/* A probe's txid says its port or socket and a keyed sum of it: who knows it
 * got the probe, and nothing is kept of a thousand of them. */
static void probe_txid(const path_punch *u, uint16_t value,
                       uint8_t txid[RMR_DISCO_TXID_LEN])
{
    uint8_t text[RMR_DISCO_TXID_LEN + 2];
    memcpy(text, u->session, RMR_DISCO_TXID_LEN);
    rmr_store_be16(text + RMR_DISCO_TXID_LEN, value);
    rmr_store_be16(txid, value);
    rmr_store_be16(txid + 2, 0);
    rmr_store_be64(txid + 4, rmr_siphash(&u->secret, text, sizeof text));
}

static void probe(rmr_paths *p, const rmr_addr *to, uint16_t socket,
                  uint16_t value)
{
    path_out o = {
        .kind = OUT_PING, .peer = p->punch.peer, .udp = *to, .socket = socket};
    probe_txid(&p->punch, value, o.txid);
    if (rmri_path_push(p, &o))
        p->stats.punch_probes_sent++;
}

bool rmri_path_punch_pong(const rmr_paths *p, const path_peer *peer,
                          const uint8_t txid[RMR_DISCO_TXID_LEN], rmr_addr *udp,
                          uint16_t *socket)
{
    const path_punch *u = &p->punch;
    uint8_t want[RMR_DISCO_TXID_LEN];
    uint16_t value = rmr_load_be16(txid);
    if (!rmri_path_is_punching(p, peer) || u->state == PUNCH_OFFERED)
        return false;
    probe_txid(u, value, want);
    if (!rmr_equal_ct(want, txid, sizeof want))
        return false;
    *udp = u->target;
    *socket = 0;
    if (u->state == PUNCH_EASY)
        udp->port = value;
    else
        *socket = value;
    return *socket == 0 || rmri_path_sock_is_open(p, *socket);
}

/* The peer was heard by a way that may be the one: try it now, not at the next
 * round. */
void rmri_path_punch_heard(rmr_paths *p, rmr_time now, path_hot *h,
                           const rmr_addr *udp, uint16_t socket)
{
    if (!rmri_path_is_punching(p, h->peer) || p->punch.state == PUNCH_OFFERED)
        return;
    path_cand *c = rmri_path_cand_find(h, udp, socket);
    if (c && rmri_path_past(now, c->last_ping, RMR_SEC))
        (void)rmri_path_ping_cand(p, now, h, c, PING_DISCOVERY, 0);
}

/* ---- both sides ------------------------------------------------------- */

/* Only what control or the peer itself told of before. */
static bool is_named(const path_hot *h, const rmr_addr *ip)
{
    for (size_t i = 0; i < h->n_cands; i++)
        if (rmr_addr_ip_eq(&h->cands[i].udp, ip))
            return true;
    return false;
}

/* ---- the hard side ---------------------------------------------------- */

static bool may_offer(const rmr_paths *p, rmr_time now, const path_hot *h)
{
    const path_peer *peer = h->peer;
    return rmri_path_has(p, RMR_PATHS_BIRTHDAY) &&
           !rmri_path_has(p, RMR_PATHS_NO_UDP) &&
           p->varies == RMR_PATH_VARIES_YES &&
           rmri_path_is_public_v4(&p->public_v4) &&
           p->punch.state == PUNCH_IDLE && now >= peer->punch_next &&
           h->want_since != RMR_TIME_NEVER &&
           rmri_path_past(now, h->want_since, PUNCH_AFTER) &&
           rmri_path_region(p, peer) != 0;
}

void rmri_path_punch_maybe(rmr_paths *p, rmr_time now, path_hot *h)
{
    path_punch *u = &p->punch;
    if (!may_offer(p, now, h) ||
        rmri_path_random(p, u->session, sizeof u->session) != RMR_OK)
        return;
    begin(p, now, h->peer, PUNCH_OFFERED, PUNCH_ANSWER);
    say(p, h->peer, PUNCH_OFFER, u->session, RMR_PATH_BIRTHDAY_SOCKETS,
        &p->public_v4);
    arm(p);
}

static bool is_offered(const rmr_paths *p, const path_peer *peer,
                       const uint8_t *session)
{
    return p->punch.state == PUNCH_OFFERED && p->punch.peer == peer->id &&
           memcmp(p->punch.session, session, RMR_DISCO_TXID_LEN) == 0;
}

static void accepted(rmr_paths *p, rmr_time now, path_peer *peer,
                     const rmr_addr *about)
{
    path_punch *u = &p->punch;
    if (!rmri_path_is_public_v4(about) || about->port == 0 || !peer->hot ||
        !is_named(peer->hot, about) ||
        !rmri_path_socks_take(p, peer, RMR_PATH_BIRTHDAY_SOCKETS)) {
        rmri_path_punch_end(p, now, true);
        return;
    }
    if (rmri_path_random(p, &u->secret, sizeof u->secret) != RMR_OK)
        return;
    begin(p, now, peer, PUNCH_HARD, PUNCH_RUN);
    u->target = *about;
    u->again_at = rmr_time_add(now, PUNCH_AGAIN);
    p->stats.punches_begun++;
    arm(p);
}

static void declined(rmr_paths *p, rmr_time now, path_peer *peer,
                     uint16_t seconds)
{
    if (seconds < 5)
        seconds = 5;
    if (seconds > REFUSE_LONG)
        seconds = REFUSE_LONG;
    rmri_path_punch_end(p, now, false);
    p->stats.punches_declined++;
    peer->punch_next = rmr_time_add(now, seconds * RMR_SEC);
}

void rmri_path_punch_opened(rmr_paths *p, rmr_time now)
{
    if (p->punch.state != PUNCH_HARD || p->punch.tick_at != RMR_TIME_NEVER)
        return;
    p->punch.tick_at = rmr_time_add(now, PUNCH_TICK);
    arm(p);
}

/* Each socket makes a mapping of its own towards the easy side. */
static void tick_hard(rmr_paths *p, rmr_time now)
{
    path_punch *u = &p->punch;
    unsigned left = PUNCH_OPENS;
    u->tick_at = RMR_TIME_NEVER;
    for (uint16_t i = 1; p->socks && i <= RMR_PATH_MAX_SOCKET; i++) {
        path_sock *s = &p->socks[i - 1];
        if (s->peer != u->peer || s->state != SOCK_OPEN || s->pinged)
            continue;
        if (left-- == 0) {
            u->tick_at = rmr_time_add(now, PUNCH_TICK);
            return;
        }
        s->pinged = true;
        probe(p, &u->target, i, i);
    }
}

/* Once more, for those that were lost. */
static void again_hard(rmr_paths *p, rmr_time now)
{
    p->punch.again_at = RMR_TIME_NEVER;
    for (size_t i = 0; p->socks && i < RMR_PATH_MAX_SOCKET; i++)
        p->socks[i].pinged = false;
    p->punch.tick_at = rmr_time_add(now, PUNCH_TICK);
}

/* ---- the easy side ---------------------------------------------------- */

static uint16_t seconds_until(rmr_time now, rmr_time t)
{
    rmr_dur s = rmr_time_since(t, now) / RMR_SEC + 1;
    return s < REFUSE_LONG ? (uint16_t)s : REFUSE_LONG;
}

/* 0: it is welcome; else the seconds after which to ask again. */
static uint16_t refusal(const rmr_paths *p, rmr_time now, const path_peer *peer,
                        const rmr_addr *about)
{
    const path_hot *h = peer->hot;
    if (p->varies == RMR_PATH_VARIES_YES || !rmri_path_is_public_v4(about))
        return REFUSE_LONG;
    if (!h || !rmri_path_is_public_v4(&p->public_v4) || p->public_v4.port == 0)
        return REFUSE_SHORT;
    bool idle = rmri_path_past(now, h->last_send, ACTIVE) &&
                rmri_path_past(now, h->last_recv, ACTIVE) &&
                rmri_path_past(now, h->last_call, ACTIVE);
    if (idle || !is_named(h, about))
        return REFUSE_SHORT;
    if (h->best.udp.family != RMR_AF_NONE && now <= h->trust_until)
        return REFUSE_SHORT;
    if (p->punch.state != PUNCH_IDLE)
        return seconds_until(now, p->punch.end);
    return now < peer->punch_next ? seconds_until(now, peer->punch_next) : 0;
}

static void offered(rmr_paths *p, rmr_time now, path_peer *peer,
                    const uint8_t *session, const rmr_addr *about)
{
    path_punch *u = &p->punch;
    if (!rmri_path_has(p, RMR_PATHS_BIRTHDAY) ||
        rmri_path_has(p, RMR_PATHS_NO_UDP))
        return; /* as one that does not know the message */
    uint16_t seconds = refusal(p, now, peer, about);
    if (seconds) {
        say(p, peer, PUNCH_DECLINE, session, seconds, NULL);
        return;
    }
    if (rmri_path_random(p, &u->secret, sizeof u->secret) != RMR_OK)
        return;
    begin(p, now, peer, PUNCH_EASY, PUNCH_RUN);
    u->target = *about;
    memcpy(u->session, session, sizeof u->session);
    u->tick_at = rmr_time_add(now, PUNCH_TICK);
    p->stats.punches_begun++;
    say(p, peer, PUNCH_ACCEPT, session, PUNCH_PROBES, &p->public_v4);
    arm(p);
}

static void tick_easy(rmr_paths *p, rmr_time now)
{
    path_punch *u = &p->punch;
    rmr_dur due = rmr_time_since(now, u->began) / PUNCH_TICK;
    for (int i = 0; i < BURST && u->sent < due && u->sent < PUNCH_PROBES; i++) {
        uint8_t random[2];
        if (rmri_path_random(p, random, sizeof random) != RMR_OK)
            return;
        rmr_addr to = u->target;
        to.port = (uint16_t)(FIRST_PORT +
                             rmr_load_be16(random) % (65536 - FIRST_PORT));
        probe(p, &to, 0, to.port);
        u->sent++;
    }
    u->tick_at =
        u->sent < PUNCH_PROBES ? rmr_time_add(now, PUNCH_TICK) : RMR_TIME_NEVER;
}

/* ---- messages and time ------------------------------------------------ */

void rmri_path_punch_read(rmr_paths *p, rmr_time now, path_peer *peer,
                          rmr_bytes plain)
{
    if (plain.len < PUNCH_LEN || plain.ptr[1] != 0) {
        p->stats.dropped_malformed++;
        return;
    }
    const uint8_t *session = plain.ptr + 6;
    uint16_t count = rmr_load_be16(plain.ptr + 4);
    rmr_addr about = rmr_addr_from_bytes(rmr_bytes_of(plain.ptr + 18, 16),
                                         rmr_load_be16(plain.ptr + 34));
    if (plain.ptr[2] == PUNCH_OFFER)
        offered(p, now, peer, session, &about);
    else if (!is_offered(p, peer, session))
        p->stats.dropped_mismatch++;
    else if (plain.ptr[2] == PUNCH_ACCEPT)
        accepted(p, now, peer, &about);
    else if (plain.ptr[2] == PUNCH_DECLINE)
        declined(p, now, peer, count);
}

void rmri_path_punch_due(rmr_paths *p, rmr_time now)
{
    path_punch *u = &p->punch;
    if (u->state == PUNCH_IDLE)
        return;
    if (u->end <= now) {
        rmri_path_punch_end(p, now, true);
        return;
    }
    if (u->again_at <= now)
        again_hard(p, now);
    if (u->tick_at <= now && u->state == PUNCH_HARD)
        tick_hard(p, now);
    if (u->tick_at <= now && u->state == PUNCH_EASY)
        tick_easy(p, now);
    arm(p);
}

/* ---- the host says ---------------------------------------------------- */

void rmr_paths_set_nat(rmr_paths *p, rmr_time now, rmr_path_varies varies,
                       const rmr_addr *public_v4)
{
    (void)rmri_path_clock(p, now);
    p->varies = varies;
    memset(&p->public_v4, 0, sizeof p->public_v4);
    if (public_v4)
        p->public_v4 = *public_v4;
}

static void forget_sockets(rmr_paths *p, path_hot *h)
{
    for (size_t i = h->n_cands; i-- > 0;) {
        path_cand *c = &h->cands[i];
        c->flags &= (uint8_t)~CAND_ANSWERED;
        c->last_ping = RMR_TIME_NEVER;
        if (c->socket)
            rmri_path_cand_delete(p, h, i);
    }
}

void rmr_paths_rebind(rmr_paths *p, rmr_time now)
{
    now = rmri_path_clock(p, now);
    rmri_path_punch_end(p, now, false);
    p->gathered_at = RMR_TIME_NEVER;
    p->asked_endpoints_at = RMR_TIME_NEVER;
    for (path_hot *h = p->first_hot; h; h = h->next) {
        rmri_path_clear_best(p, h);
        forget_sockets(p, h);
        h->round_at = 0;
        if (h->heartbeat_at != RMR_TIME_NEVER)
            rmri_path_discover(p, now, h, true);
        rmri_path_rearm(p, h);
    }
    rmri_path_socks_close(p, 0, 0);
}
