/* Peers.  Under the null ciphers their WireGuard is a matter of layout: what is
 * sealed lies there as it is, any tag opens, every MAC is 0x11.  Peer 0 has a
 * stack of its own, so that TCP runs both ways. */
#include "fuzz_node_world.h"

#include <remora/cursor.h>
#include <remora/disco.h>

#include <string.h>

enum { INITIATION = 1, RESPONSE = 2, DATA = 4 };

static const uint8_t shared[RMR_KEY_LEN] = {1};

void fz_peer_key(const fz_world *w, size_t i, uint8_t key[RMR_KEY_LEN])
{
    memset(key, (int)(0x20 + i), RMR_KEY_LEN);
    key[1] = w->peers[i].version;
}

void fz_peer_disco_key(size_t i, uint8_t key[RMR_KEY_LEN])
{
    memset(key, (int)(0x60 + i), RMR_KEY_LEN);
}

rmr_addr fz_peer_addr(const fz_world *w, size_t i)
{
    return rmr_addr_v4(192, 0, 2, (uint8_t)(10 + i), w->peers[i].port);
}

/* By the relay, or to the first of the node's IPv4 sockets. */
static void say(fz_world *w, size_t i, rmr_bytes d, bool by_relay)
{
    uint8_t key[RMR_KEY_LEN];
    rmr_addr from = fz_peer_addr(w, i);
    fz_peer_key(w, i, key);
    if (by_relay) {
        fz_net_fly(w, 0, NULL, key, 0, d);
        return;
    }
    for (size_t k = 0; k < w->n_socks; k++) {
        const fz_sock *s = &w->socks[k];
        if (s->id && !s->is_icmp && s->family == RMR_AF_INET &&
            s->port < 50000) {
            fz_net_fly(w, s->id, &from, NULL, 0, d);
            return;
        }
    }
}

/* ---- disco ---------------------------------------------------------------- */

static void say_disco(fz_world *w, size_t i, const rmr_disco_msg *m,
                      bool by_relay)
{
    static const uint8_t nonce[RMR_BOX_NONCE_LEN] = {3};
    uint8_t key[RMR_KEY_LEN], buf[1024];
    size_t len = 0;
    fz_peer_disco_key(i, key);
    need(rmr_disco_seal(rmr_buf_of(buf, sizeof buf), &len, key, shared, nonce,
                        m) == RMR_OK);
    say(w, i, rmr_bytes_of(buf, len), by_relay);
}

/* kind: a ping, a pong to a ping of some time, or candidates */
void fz_peer_disco(fz_world *w, size_t i, uint8_t kind, bool by_relay)
{
    rmr_disco_msg m;
    memset(&m, 0, sizeof m);
    m.type = (uint8_t)(1 + kind % 3);
    memset(m.txid, kind, sizeof m.txid);
    if (kind & 128 && w->n_pings)
        memcpy(m.txid, w->pings[kind % PINGS].txid, sizeof m.txid);
    m.has_node_key = kind & 64;
    fz_peer_key(w, i, m.node_key);
    m.src = rmr_addr_v4(198, 51, 100, 1, 41641);
    m.n_candidates = kind & 15;
    for (size_t k = 0; k < m.n_candidates; k++)
        m.candidates[k] = rmr_addr_v4(kind & 16 ? 192 : 198, kind & 16 ? 0 : 51,
                                      kind & 16 ? 2 : 100, (uint8_t)(10 + i),
                                      (uint16_t)(w->peers[i].port + k));
    say_disco(w, i, &m, by_relay);
}

static void read_disco(fz_world *w, size_t i, rmr_bytes d, bool by_relay)
{
    rmr_disco_msg m, pong;
    if (rmr_disco_open(d, shared, &m) != RMR_OK || m.type != RMR_DISCO_PING)
        return;
    memset(&pong, 0, sizeof pong);
    pong.type = RMR_DISCO_PONG;
    memcpy(pong.txid, m.txid, sizeof m.txid);
    pong.src = rmr_addr_v4(198, 51, 100, 1, 41641);
    say_disco(w, i, &pong, by_relay);
}

/* ---- WireGuard ------------------------------------------------------------ */

static uint32_t index_of(size_t i)
{
    return 0x1000u + (uint32_t)i;
}

static size_t put_initiation(fz_world *w, size_t i, uint8_t b[148])
{
    memset(b, 0, 148);
    b[0] = INITIATION;
    rmr_store_le32(b + 4, index_of(i));
    memset(b + 8, (int)(1 + w->peers[i].counter++ % 200), 32); /* ephemeral */
    fz_peer_key(w, i, b + 40);
    rmr_store_be64(b + 88, (UINT64_C(1) << 62) + w->now / RMR_SEC);
    rmr_store_be32(b + 96, (uint32_t)w->peers[i].counter);
    memset(b + 116, 0x11, 16);
    return 148;
}

static size_t put_response(const fz_world *w, size_t i, uint8_t b[148])
{
    memset(b, 0, 148);
    b[0] = RESPONSE;
    rmr_store_le32(b + 4, index_of(i));
    rmr_store_le32(b + 8, w->peers[i].their_index);
    memset(b + 12, 5, 32);
    memset(b + 60, 0x11, 16);
    return 92;
}

static void say_data(fz_world *w, size_t i, rmr_bytes inner, bool by_relay)
{
    uint8_t b[16 + 1536 + RMR_TAG_LEN] = {DATA};
    size_t n = inner.len < 1500 ? inner.len : 1500;
    rmr_store_le32(b + 4, w->peers[i].their_index);
    rmr_store_le64(b + 8, w->peers[i].counter++);
    if (n)
        memcpy(b + 16, inner.ptr, n);
    n = (n + 15) / 16 * 16;
    say(w, i, rmr_bytes_of(b, 16 + n + RMR_TAG_LEN), by_relay);
}

void fz_peer_wireguard(fz_world *w, size_t i, uint8_t type, rmr_bytes inner,
                       bool by_relay)
{
    uint8_t b[148];
    if (type % 3 == 0)
        say(w, i, rmr_bytes_of(b, put_initiation(w, i, b)), by_relay);
    else if (type % 3 == 1)
        say(w, i, rmr_bytes_of(b, put_response(w, i, b)), by_relay);
    else
        say_data(w, i, inner, by_relay);
}

static void read_data(fz_world *w, size_t i, rmr_bytes d)
{
    uint8_t packet[2048];
    if (d.len <= 32 || d.len - 32 > sizeof packet || i != 0)
        return;
    memcpy(packet, d.ptr + 16, d.len - 32);
    size_t len = packet[0] >> 4 == 4 ? rmr_load_be16(packet + 2)
                                     : 40u + rmr_load_be16(packet + 4);
    need(len <= d.len - 32 && len >= 20);
    (void)rmr_ns_read_pkt(w->ns, w->now, rmr_bytes_of(packet, len));
}

void fz_peer_read(fz_world *w, size_t i, rmr_bytes d, bool by_relay)
{
    static const rmr_bytes none = {NULL, 0};
    fz_peer *p = &w->peers[i];
    if (rmr_disco_classify(d) == RMR_DATAGRAM_DISCO) {
        read_disco(w, i, d, by_relay);
        return;
    }
    if (d.len < 32 || d.ptr[1] || d.ptr[2] || d.ptr[3])
        return;
    p->by_relay = by_relay;
    if (d.ptr[0] == INITIATION && d.len == 148) {
        p->their_index = rmr_load_le32(d.ptr + 4);
        fz_peer_wireguard(w, i, 1, none, by_relay);
    } else if (d.ptr[0] == RESPONSE && d.len == 92) {
        p->their_index = rmr_load_le32(d.ptr + 4);
        say_data(w, i, none, by_relay);
    } else if (d.ptr[0] == DATA) {
        read_data(w, i, d);
    }
}

/* ---- the stack of peer 0 -------------------------------------------------- */

/* What comes is the pattern where a socket has the world as its tag. */

static size_t place_of(const fz_world *w, rmr_ns_sock s)
{
    size_t i = 0;
    while (i < CONNS && w->ns_socks[i].id != s.id)
        i++;
    return i;
}

static size_t free_place(fz_world *w, rmr_ns_sock s)
{
    rmr_ns_sock none = {0};
    size_t i = place_of(w, none);
    if (i < CONNS) {
        w->ns_socks[i] = s;
        w->ns_sent[i] = w->ns_got[i] = 0;
    }
    return i;
}

static void on_accept(void *user, void *tag, rmr_ns_sock listener,
                      rmr_ns_sock sock, const rmr_addr *remote)
{
    fz_world *w = user;
    (void)listener;
    (void)remote;
    (void)rmr_ns_set_tag(w->ns, sock, tag);
    if (free_place(w, sock) == CONNS)
        (void)rmr_ns_abort(w->ns, w->now, sock);
}

static void on_readable(void *user, void *tag, rmr_ns_sock sock)
{
    fz_world *w = user;
    size_t i = place_of(w, sock);
    rmr_bytes view;
    bool eof;
    while (i < CONNS && rmr_ns_tcp_peek(w->ns, sock, &view, &eof) == RMR_OK &&
           view.len) {
        for (size_t k = 0; k < view.len; k++)
            need(tag == NULL || w->is_tampered ||
                 view.ptr[k] == fz_pattern(w->ns_got[i] + k));
        w->ns_got[i] += view.len;
        (void)rmr_ns_tcp_consume(w->ns, w->now, sock, view.len);
    }
}

static void on_closed(void *user, void *tag, rmr_ns_sock sock, rmr_err why)
{
    fz_world *w = user;
    size_t i = place_of(w, sock);
    (void)tag;
    (void)why;
    if (i < CONNS)
        w->ns_socks[i].id = 0;
}

void fz_peers_new(fz_world *w)
{
    rmr_ns_config cfg;
    rmr_ns_callbacks cb = {.struct_size = sizeof cb,
                           .user = w,
                           .on_accept = on_accept,
                           .on_readable = on_readable,
                           .on_closed = on_closed};
    rmr_addr own = rmr_addr_v4(100, 64, 0, 2, 0), at = own;
    rmr_ns_sock listener;
    for (size_t i = 0; i < PEERS; i++) {
        w->peers[i].is_there = i < 3;
        w->peers[i].port = 41641;
    }
    test_rng_seed(&w->ns_rng, 2);
    w->ns_env = test_env(&w->ns_mem, &w->ns_rng, NULL);
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &cb;
    cfg.tcp_recv_max = cfg.tcp_send_max = (size_t)64 * 1024;
    need(rmr_ns_new(&w->ns, &w->ns_env, &cfg, w->now) == RMR_OK);
    need(rmr_ns_addr_add(w->ns, &own) == RMR_OK);
    at.port = 80;
    need(rmr_ns_tcp_listen(w->ns, &at, NULL, &listener) == RMR_OK);
    at.port = 90; /* the program of the node dials this one */
    need(rmr_ns_tcp_listen(w->ns, &at, w, &listener) == RMR_OK);
}

void fz_peers_free(fz_world *w)
{
    rmr_ns_free(w->ns);
    need(w->ns_mem.live_blocks == 0);
}

static void dial(fz_world *w, uint8_t what)
{
    static const uint8_t question[] = {0, 7,   1,   0,   0,   1,   0, 0,   0,
                                       0, 0,   0,   2,   'p', '0', 2, 'e', 'x',
                                       3, 'c', 'o', 'm', 0,   0,   1, 0,   1};
    static const uint8_t to[4][4] = {
        {100, 64, 0, 1}, {10, 1, 0, 7}, {100, 100, 100, 100}, {8, 8, 8, 8}};
    static const uint16_t ports[4] = {80, 81, 53, 443};
    const uint8_t *ip = to[what >> 2 & 3];
    rmr_addr remote = rmr_addr_v4(ip[0], ip[1], ip[2], ip[3], ports[what & 3]);
    rmr_ns_sock s;
    void *tag = (what >> 2 & 3) == 2 ? NULL : w;
    rmr_addr any = rmr_addr_v4(100, 64, 0, 2, 0);
    if (what & 16) { /* a datagram */
        if (rmr_ns_udp_bind(w->ns, &any, NULL, &s) != RMR_OK)
            return;
        (void)rmr_ns_udp_send(w->ns, w->now, s, NULL, &remote,
                              rmr_bytes_of(question, sizeof question));
        (void)rmr_ns_close(w->ns, w->now, s);
    } else if (rmr_ns_tcp_connect(w->ns, w->now, NULL, &remote, tag, &s) ==
               RMR_OK) {
        if (free_place(w, s) == CONNS)
            (void)rmr_ns_abort(w->ns, w->now, s);
    }
}

static void send_some(fz_world *w, size_t i, size_t n)
{
    uint8_t part[512];
    size_t taken = sizeof part;
    for (; n > 0 && taken == sizeof part; n--) {
        for (size_t k = 0; k < sizeof part; k++)
            part[k] = fz_pattern(w->ns_sent[i] + k);
        if (rmr_ns_tcp_send(w->ns, w->now, w->ns_socks[i],
                            rmr_bytes_of(part, sizeof part), &taken) != RMR_OK)
            return;
        w->ns_sent[i] += taken;
    }
}

void fz_peer_act(fz_world *w, uint8_t what)
{
    rmr_addr node = rmr_addr_v4(100, 64, 0, 1, 0);
    rmr_addr behind = rmr_addr_v4(10, 1, 0, 7, 0);
    size_t i = what & 15;
    switch (what >> 5) {
    case 0:
        dial(w, what);
        break;
    case 1:
        (void)rmr_ns_ping(w->ns, w->now, what & 1 ? &behind : &node, 1, what,
                          rmr_bytes_str("ping"));
        break;
    case 2:
        (void)rmr_ns_tcp_shutdown(w->ns, w->now, w->ns_socks[i]);
        break;
    case 3:
        (void)rmr_ns_abort(w->ns, w->now, w->ns_socks[i]);
        w->ns_socks[i].id = 0;
        break;
    default:
        send_some(w, i, what >> 4);
        break;
    }
}

/* Its packets go where the node was heard last; a handshake first. */
bool fz_peers_step(fz_world *w)
{
    uint8_t packet[1500];
    size_t len = 0;
    static const rmr_bytes none = {NULL, 0};
    fz_peer *p = &w->peers[0];
    if (w->n_flying == FLYING ||
        rmr_ns_write_pkt(w->ns, w->now, rmr_buf_of(packet, sizeof packet),
                         &len) != RMR_OK ||
        len == 0)
        return false;
    if (p->their_index)
        say_data(w, 0, rmr_bytes_of(packet, len), p->by_relay);
    else
        fz_peer_wireguard(w, 0, 0, none, p->by_relay); /* it tries again */
    return true;
}

rmr_time fz_peers_deadline(const fz_world *w)
{
    return rmr_ns_next_deadline(w->ns);
}
