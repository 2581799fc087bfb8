/* Whether each node has the netmap that it is to have, and reaches whom it may
 * reach. */
#include "scale_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETTLED (180 * RMR_SEC) /* a lost stream is noticed within 120 s */
#define WITHIN (15 * RMR_SEC)

static void fault(scale *w, const sc_member *m, const char *what,
                  const char *whom)
{
    if (w->faults++ < 20)
        (void)fprintf(stderr, "coord_scale: at %.1f s: %s %s %s%s%s\n",
                      (double)rmr_sim_now(w->sim) / 1e9, m->hostname, what,
                      whom, m->why[0] ? ": " : "", m->why);
}

static bool is_settled(const scale *w, const sc_member *m)
{
    return m->node && !m->has_left &&
           rmr_sim_now(w->sim) >= m->changed_at + SETTLED;
}

/* ---- netmaps ------------------------------------------------------------- */

/* Their ids are in a row. */
static uint32_t user_of(const scale *w, uint64_t id)
{
    return (uint32_t)(id - w->user_ids[0]);
}

/* The server's node among the peers of m, as it is to be. */
static void check_peer(scale *w, const sc_member *m, const rmr_coord_node *n)
{
    rmr_nm_node peer;
    bool is_there = rmr_nm_peer(m->node->nm, n->id, &peer);
    bool is_to_be = sc_may_see(w, m->user, user_of(w, n->user));
    if (is_there != is_to_be)
        fault(w, m, is_there ? "sees" : "does not see", n->given_name);
    else if (is_there && (memcmp(peer.key, n->node_key, RMR_KEY_LEN) != 0 ||
                          peer.online != n->online))
        fault(w, m, "knows old things of", n->given_name);
    w->checked_strangers += !is_to_be;
}

static void check_netmap(scale *w, const sc_member *m)
{
    rmr_coord_node n;
    uint64_t after = 0;
    size_t peers = 0;
    while (rmr_coord_node_next(w->coord, after, &n) == RMR_OK) {
        after = n.id;
        if (n.id == m->id)
            continue;
        check_peer(w, m, &n);
        peers += sc_may_see(w, m->user, user_of(w, n.user));
    }
    if (rmr_nm_peer_count(m->node->nm) != peers)
        fault(w, m, "has peers that", "the server has not");
    w->checked_netmaps++;
}

void sc_check_netmaps(scale *w)
{
    for (uint32_t i = 0; i < w->n_members; i++) {
        const sc_member *m = &w->members[i];
        if (!is_settled(w, m))
            continue;
        if (m->is_running)
            check_netmap(w, m);
        else
            fault(w, m, "does not", "run");
    }
}

/* ---- pairs --------------------------------------------------------------- */

void sc_connected(sc_member *m, sc_pair *p, rmr_node_conn conn)
{
    uint8_t word[4];
    size_t taken;
    uint32_t number = (uint32_t)(p - m->w->pairs);
    rmr_time now = rmr_sim_now(m->w->sim);
    memcpy(word, &number, sizeof word);
    (void)rmr_node_send(m->node, now, conn, rmr_bytes_of(word, sizeof word),
                        &taken);
    (void)rmr_node_close(m->node, now, conn);
}

void sc_heard(sc_member *m, rmr_node_conn conn)
{
    scale *w = m->w;
    rmr_bytes view;
    bool eof;
    uint32_t number;
    if (rmr_node_peek(m->node, conn, &view, &eof) != RMR_OK ||
        view.len < sizeof number)
        return;
    memcpy(&number, view.ptr, sizeof number);
    if (number < w->n_pairs && w->pairs[number].b == m)
        w->pairs[number].was_heard = true;
    else
        fault(w, m, "was told", "another's word");
    (void)rmr_node_consume(m->node, rmr_sim_now(w->sim), conn, view.len);
    (void)rmr_node_close(m->node, rmr_sim_now(w->sim), conn);
}

/* a dials b at the address that the server gave b. */
static void dial(scale *w, sc_pair *p)
{
    rmr_node_conn conn;
    rmr_nm_node self;
    char ip[RMR_ADDR_TEXT_MAX];
    if (!rmr_nm_self(p->b->node->nm, &self))
        return;
    rmr_addr at = rmr_prefix_addr(&self.addrs[0]);
    if (rmr_node_dial(p->a->node, rmr_sim_now(w->sim),
                      rmr_addr_ip_text(&at, ip), 80, p, &conn) == RMR_OK)
        parts_need(rmr_sim_poke(w->sim, p->a->program), "poke");
}

static void add_pair(scale *w, sc_member *a, sc_member *b)
{
    w->pairs[w->n_pairs++] = (sc_pair){a, b, false};
}

/* All at once; then who may have heard has, and nobody else. */
static void talk(scale *w)
{
    for (uint32_t i = 0; i < w->n_pairs; i++)
        dial(w, &w->pairs[i]);
    sc_run(w, WITHIN);
    for (uint32_t i = 0; i < w->n_pairs; i++) {
        const sc_pair *p = &w->pairs[i];
        if (p->was_heard != sc_may_reach(w, p->a->user, p->b->user))
            fault(w, p->a, p->was_heard ? "reaches" : "does not reach",
                  p->b->hostname);
    }
    w->checked_pairs += w->n_pairs;
    w->n_pairs = 0;
}

static void room(scale *w, uint32_t n)
{
    free(w->pairs);
    w->pairs = calloc(n + 1, sizeof *w->pairs);
    w->n_pairs = 0;
    if (!w->pairs)
        abort();
}

static sc_member *someone(scale *w, uint32_t user)
{
    for (int i = 0; i < 64; i++) {
        uint32_t per_user = w->n_members / w->n_users;
        sc_member *m = &w->members[sc_roll(w, per_user) * w->n_users + user];
        if (is_settled(w, m) && m->is_running)
            return m;
    }
    return NULL;
}

/* Two within a user for one across users, and one for each bridge. */
void sc_check_some_pairs(scale *w, uint32_t pairs)
{
    room(w, pairs + SC_BRIDGES);
    for (uint32_t i = 0; i < pairs + w->n_bridges; i++) {
        uint32_t from = sc_roll(w, w->n_users);
        uint32_t to = i % 3 == 2 ? sc_roll(w, w->n_users) : from;
        if (i >= pairs) {
            from = w->bridges[i - pairs].from;
            to = w->bridges[i - pairs].to;
        }
        sc_member *a = someone(w, from), *b = someone(w, to);
        if (a && b && a != b)
            add_pair(w, a, b);
    }
    talk(w);
}

/* One round for each distance in the ring of a user's members: each dials one
 * and is dialled by one at a time.  Half of the ring are all pairs. */
void sc_check_rounds(scale *w, uint32_t rounds)
{
    uint32_t per_user = w->n_members / w->n_users;
    room(w, w->n_members);
    for (uint32_t step = 1; step <= rounds && step <= per_user / 2; step++) {
        for (uint32_t i = 0; i < per_user * w->n_users; i++)
            add_pair(
                w, &w->members[i],
                &w->members[(i + step * w->n_users) % (per_user * w->n_users)]);
        talk(w);
    }
}
