/* Path choosers of three nodes, behind NATs of three kinds, under a program of
 * operations: packets, time, cut and healed networks and relays, replayed, spoilt
 * and thrown back datagrams, forged senders, map changes, rebinds, NATs that
 * forget, addresses that change, failing memory; and maybe a fourth that is
 * WireGuard-only.  The wire (path_world.c) aborts when
 * - data goes to a UDP address that no pong verified (but WireGuard-only), or
 *   by more than one UDP path beside the relay's copy,
 * - a deadline survives being handled, a socket is closed that is not open,
 * - more than 1,536 datagrams go to addresses of nobody within 5 s,
 * - something leaks.
 * At the end the wire heals: within a bound, with traffic, all pairs must get
 * each other's packets, those that can straight, and memory must be bounded. */
#include "need.h"
#include "path_world.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NODES 3
#define ALONE 3 /* WireGuard-only, when it exists */
#define MAX_OPS 200
#define MAX_MEMORY (256 * 1024) /* a node with two peers: its queue and pings */

typedef struct in {
    const uint8_t *p;
    size_t left;
} in;

static uint8_t take(in *i)
{
    if (i->left == 0)
        return 0;
    i->left--;
    return *i->p++;
}

static void set_map(w_world *w, int i, int j, uint32_t fields, uint8_t bits)
{
    rmr_path_peer_config c;
    rmr_addr eps[W_ADDRS];
    w_config(w, j, &c, eps);
    if (!(bits & 1)) /* an empty map for a while */
        c.n_endpoints = 0;
    (void)rmr_paths_peer_set(w->node[i].p, w->now, w->node[i].peer[j],
                             fields & ~(uint32_t)RMR_PATH_SET_EXPIRED, &c);
}

static void readd(w_world *w, int i, int j)
{
    rmr_path_peer_config c;
    rmr_addr eps[W_ADDRS];
    w_node *n = &w->node[i];
    w_config(w, j, &c, eps);
    need(rmr_paths_peer_remove(n->p, w->now, n->peer[j]) == RMR_OK);
    n->mem.fail_at = 0;
    n->astray = 0; /* it forgot which pings wait */
    need(rmr_paths_peer_add(n->p, w->now, &c, &n->peer[j]) == RMR_OK);
}

/* A datagram from the wire again, whole or spoilt, maybe from elsewhere. */
static void replay(w_world *w, uint8_t how)
{
    w_pkt *k = w->wire;
    for (uint8_t skip = how & 7; k && skip; skip--)
        k = k->next;
    if (!k || k->data)
        return;
    uint8_t b[RMR_PATHS_MAX_DATAGRAM_MTU];
    memcpy(b, k->bytes, k->len);
    if (how & 8)
        b[how % k->len] ^= 1;
    rmr_path_to from = k->from;
    if (how & 16)
        from = w_udp(w, (k->src + 1) % NODES, how >> 6);
    (void)rmr_paths_read(w->node[k->dst].p, w->now, &from,
                         rmr_buf_of(b, how & 32 ? k->len / 2 : k->len));
    w_drain(w, k->dst);
}

/* An authentic message that no honest node would send. */
static void lie(w_world *w, in *i, int a, int b)
{
    rmr_disco_msg m = {.type = (uint8_t)(1 + take(i) % 3)};
    uint8_t how = take(i);
    m.txid[0] = take(i);
    m.src = w->node[b].addr[0];
    m.has_node_key = how & 1;
    memcpy(m.node_key, w->node[how & 2 ? a : b].node_key, 32);
    if (m.type == RMR_DISCO_CALL_ME_MAYBE) {
        m.n_candidates = how % (RMR_DISCO_MAX_CANDIDATES + 1u);
        for (size_t k = 0; k < m.n_candidates; k++)
            m.candidates[k] = rmr_addr_v4(9, take(i), 9, (uint8_t)k, 9);
    }
    rmr_path_to from = how & 4 ? w_derp(w, a) : w_udp(w, a, how >> 6);
    if (how & 8)
        from.udp.port = (uint16_t)(from.udp.port + take(i));
    (void)w_say(w, a, b, &from, &m);
    w_drain(w, b);
}

static void toggle(w_world *w, uint8_t what)
{
    if (what & 1)
        w->blocked[what >> 1 & 3] = !w->blocked[what >> 1 & 3];
    else if (what & 2)
        w->derp_down = !w->derp_down;
    else
        w->node[what >> 2 & 1].addr_down[what >> 3 & 3] = what >> 5 & 1;
}

static void switches(w_world *w, int i, uint8_t bits)
{
    rmr_paths_set_switches(w->node[i].p, w->now, bits & 0x1f);
}

static void host_says(w_world *w, int i, int j, uint8_t what)
{
    static const rmr_err why[] = {RMR_E_UNREACHABLE, RMR_E_TOOBIG, RMR_E_DENIED,
                                  RMR_E_FULL};
    rmr_paths *p = w->node[i].p;
    rmr_path_to to = w_udp(w, j, what >> 2 & 3);
    rmr_path_info info;
    w_info(w, i, j, &info);
    switch (what >> 4 & 7) {
    case 0:
        rmr_paths_send_failed(p, w->now, &to, why[what & 3]);
        break;
    case 1:
        rmr_paths_rebind(p, w->now);
        break;
    case 2:
        rmr_paths_note_derp_source(p, w->now, w->node[j].node_key, what & 3);
        break;
    case 3:
        rmr_paths_derp_gone(p, w->now, w->node[j].node_key, what & 3);
        break;
    case 4:
        rmr_paths_region_down(p, w->now, what & 3);
        break;
    case 5:
        rmr_paths_region_up(p, w->now, what & 3);
        break;
    case 6:
        rmr_paths_set_nat(p, w->now, (rmr_path_varies)(what % 3),
                          what & 4 ? &w->node[i].addr[0] : NULL);
        break;
    default:
        if (info.socket)
            (void)rmr_paths_note_received(p, w->now, w->node[i].peer[j], &to);
        break;
    }
    w_drain(w, i);
}

static void set_nat(w_world *w, int i)
{
    w_node *n = &w->node[i];
    rmr_paths_set_nat(
        n->p, w->now,
        n->nat == W_HARD ? RMR_PATH_VARIES_YES : RMR_PATH_VARIES_NO, &n->outer);
}

/* What is not of one node's doing, and the fourth. */
static void outside(w_world *w, int a, int b, uint8_t arg)
{
    switch (arg & 7) {
    case 0:
    case 1:
        w_throw_back(w);
        break;
    case 2:
        w_forget_mappings(w, a);
        break;
    case 3:
        w_move(w, a, arg >> 3 & 3);
        set_nat(w, a);
        w_drain(w, a);
        break;
    case 4: /* its home is another relay; control may tell the others */
        w->node[a].home = (uint16_t)(1 + (arg >> 3 & 3));
        set_map(w, b, a, RMR_PATH_SET_HOME, arg >> 5);
        w_drain(w, b);
        break;
    case 5:
        w->derp_down = arg & 8;
        break;
    default:
        if (!w->node[ALONE].exists)
            break;
        (void)w_send(w, a, ALONE);
        if (arg & 8)
            w_echo(w, a, arg * RMR_MS);
        break;
    }
}

static void op(w_world *w, in *i)
{
    uint8_t code = take(i), arg = take(i);
    int a = code >> 4 & 3, b;
    a %= NODES;
    b = (a + 1 + (code >> 6 & 1)) % NODES;
    switch (code & 15) {
    case 0:
    case 1:
        (void)w_send(w, a, b);
        break;
    case 2:
        w_run(w, arg * RMR_MS);
        break;
    case 3:
        w_run(w, arg % 64 * RMR_SEC);
        break;
    case 4:
        w_talk(w, a, b, 500 * RMR_MS, arg % 32 * 500 * RMR_MS);
        break;
    case 5:
        toggle(w, arg);
        break;
    case 6:
        replay(w, arg);
        break;
    case 7:
        lie(w, i, a, b);
        break;
    case 8:
        host_says(w, a, b, arg);
        break;
    case 9:
        set_map(w, a, b, arg, arg >> 4);
        break;
    case 10:
        readd(w, a, b);
        break;
    case 11:
        w->node[a].mem.fail_at = arg ? w->node[a].mem.calls + arg : 0;
        break;
    case 12:
        (void)rmr_paths_ping(w->node[a].p, w->now, w->node[a].peer[b], arg);
        w_drain(w, a);
        break;
    case 13:
        switches(w, a, arg);
        break;
    case 14:
        w->node[a].refresh_never = arg & 1;
        w->node[a].fail_opens = arg >> 1 & 1;
        break;
    default:
        outside(w, a, b, arg);
        break;
    }
    for (int n = 0; n < NODES; n++)
        need(w->node[n].mem.live_bytes <= MAX_MEMORY);
}

/* All is well again, as control says it. */
static void heal(w_world *w, uint32_t kept)
{
    memset(w->blocked, 0, sizeof w->blocked);
    w->derp_down = false;
    for (int i = 0; i < NODES; i++) {
        w_node *n = &w->node[i];
        memset(n->addr_down, 0, sizeof n->addr_down);
        n->mem.fail_at = 0;
        n->refresh_never = false;
        n->fail_opens = false;
        rmr_paths_set_switches(n->p, w->now, kept);
        for (int j = 0; j < NODES; j++)
            if (i != j)
                set_map(w, i, j, RMR_PATH_SET_ALL, 1);
        w_drain(w, i);
    }
}

/* Two NATs, of which one is hard: by a punch at most, which may fail; or by
 * another network that the map names. */
static bool must_be_direct(const w_node *a, const w_node *b)
{
    return a->in_map[2] || a->nat == W_OPEN || b->nat == W_OPEN ||
           (a->nat != W_HARD && b->nat != W_HARD);
}

/* One more packet of each, which comes. */
static void hears(w_world *w, int a, int b)
{
    uint32_t seq = w->node[a].next_seq[b];
    need(w_send(w, a, b));
    w_run(w, RMR_SEC);
    need(seq < W_SEQS && w->node[b].got[a][seq] > 0);
}

/* A pair is direct both ways at most 12 s after the wire healed: a ping that
 * just left into the dark (5 s), a call's pace (5 s), round trips. */
static void comes_back(w_world *w)
{
    for (int a = 0; a < NODES; a++) {
        int b = (a + 1) % NODES;
        w_talk(w, a, b, 250 * RMR_MS, 12 * RMR_SEC);
        if (must_be_direct(&w->node[a], &w->node[b])) {
            need(w_direct(w, a, b));
            need(w_direct(w, b, a));
        }
        hears(w, a, b);
        hears(w, b, a);
        if (w->node[ALONE].exists)
            hears(w, a, ALONE);
    }
}

/* Two bits of each node: which NAT; the next: is there a fourth? */
static void place(w_world *w, uint8_t bits)
{
    static const w_nat nats[4] = {W_OPEN, W_EASY, W_HARD, W_OPEN};
    for (int i = 0; i < NODES; i++) {
        w_node *n = &w->node[i];
        w_add(w, i);
        n->nat = nats[bits >> 2 * i & 3];
        if (n->nat == W_OPEN)
            continue;
        n->outer.port = 45000; /* as STUN saw it */
        n->addr[0] = n->outer;
    }
    if (!(bits & 64))
        return;
    w_add(w, ALONE);
    w->node[ALONE].wireguard_only = true;
    w->node[ALONE].in_map[2] = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    in i = {data, size};
    w_world *w = calloc(1, sizeof *w);
    need(w != NULL);
    uint8_t flags = take(&i);
    uint8_t bits = take(&i);
    w_init(w, bits);
    w->switches = flags & (RMR_PATHS_SILENT_DISCO | RMR_PATHS_PROBE_LIFETIME |
                           RMR_PATHS_PEER_MTU | RMR_PATHS_BIRTHDAY);
    place(w, bits);
    for (int n = 0; n < NODES; n++) {
        w->node[n].in_map[2] = flags >> 5 & 1;
        w->node[n].in_call[3] = flags >> 6 & 1;
    }
    w_start(w);
    for (int n = 0; n < NODES; n++)
        set_nat(w, n);
    for (int n = 0; n < MAX_OPS && i.left; n++)
        op(w, &i);
    heal(w, w->switches);
    comes_back(w);
    w_end(w);
    free(w);
    return 0;
}
