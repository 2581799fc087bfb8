/* What happens to a tailnet in the course of a day. */
#include "scale_world.h"

#include <stdio.h>
#include <string.h>

/* ---- the policy ---------------------------------------------------------- */

bool sc_may_reach(const scale *w, uint32_t from, uint32_t to)
{
    if (from == to)
        return true;
    for (uint32_t i = 0; i < w->n_bridges; i++)
        if (w->bridges[i].from == from && w->bridges[i].to == to)
            return true;
    return false;
}

bool sc_may_see(const scale *w, uint32_t a, uint32_t b)
{
    return sc_may_reach(w, a, b) || sc_may_reach(w, b, a);
}

/* ---- changes ------------------------------------------------------------- */

/* One that is here, or one that is away; NULL: none was found. */
static sc_member *pick(scale *w, bool here)
{
    for (int i = 0; i < 64; i++) {
        sc_member *m = &w->members[sc_roll(w, w->n_members)];
        if (here ? m->is_running && !m->has_left : !m->node)
            return m;
    }
    return NULL;
}

static bool join(scale *w)
{
    sc_member *m = pick(w, false);
    if (!m)
        return false;
    if (sc_roll(w, 2) == 0) { /* set up anew, or with what it knew */
        parts_need(
            rmr_sim_blob_set(w->sim, m->host, NULL, rmr_bytes_of(NULL, 0)),
            "blob");
        if (m->id)
            (void)rmr_coord_node_remove(w->coord, m->id);
        m->id = 0;
    }
    sc_start(m);
    m->changed_at = rmr_sim_now(w->sim);
    return true;
}

static bool leave(scale *w)
{
    sc_member *m = pick(w, true);
    if (!m)
        return false;
    m->has_left = true;
    m->changed_at = rmr_sim_now(w->sim);
    switch (sc_roll(w, 3)) {
    case 0:
        parts_need(rmr_node_logout(m->node, rmr_sim_now(w->sim)), "logout");
        parts_need(rmr_sim_poke(w->sim, m->program), "poke");
        break;
    case 1:
        parts_need(rmr_sim_request_stop(w->sim, m->program), "stop");
        break;
    default:
        parts_need(rmr_sim_remove(w->sim, m->program, RMR_SIM_POWER_CUT),
                   "cut");
        break;
    }
    return true;
}

/* To the street or back home; with a new address either way. */
static void move(scale *w, sc_member *m)
{
    uint8_t high = (uint8_t)(m->number >> 8), low = (uint8_t)m->number;
    m->is_home = m->home && !m->is_home;
    m->moves++;
    rmr_addr at =
        m->is_home ? rmr_addr_v4(192, 168, 1, (uint8_t)(10 + m->moves % 64), 0)
                   : rmr_addr_v4((uint8_t)(64 + m->moves % 32),
                                 (uint8_t)(m->number >> 16), high, low, 0);
    parts_need(rmr_sim_host_move(w->sim, m->host,
                                 m->is_home ? m->home : RMR_SIM_INTERNET, &at,
                                 1),
               "move");
}

static void renumber(scale *w, sc_member *m)
{
    m->moves++;
    rmr_addr at =
        rmr_addr_v4((uint8_t)(96 + m->moves % 4), (uint8_t)(m->number >> 16),
                    (uint8_t)(m->number >> 8), (uint8_t)m->number, 0);
    parts_need(rmr_sim_gate_set_outside(w->sim, m->home, &at, 1), "renumber");
}

static bool roam(scale *w)
{
    sc_member *m = pick(w, true);
    if (!m)
        return false;
    m->changed_at = rmr_sim_now(w->sim);
    uint32_t how = m->is_home ? sc_roll(w, 4) : 0;
    if (how == 3)
        parts_need(rmr_sim_gate_reboot(w->sim, m->home), "reboot");
    else if (how == 2)
        renumber(w, m);
    else
        move(w, m);
    return true;
}

static bool expire(scale *w)
{
    sc_member *m = pick(w, true);
    uint64_t at = 1;
    if (!m)
        return false;
    if (sc_roll(w, 2))
        at = rmr_sim_host_wall(w->sim, m->host) + 60 * RMR_SEC;
    m->changed_at = rmr_sim_now(w->sim);
    return rmr_coord_node_expire(w->coord, m->id, at) == RMR_OK;
}

/* One bridge more, or another in the place of one. */
static bool policy(scale *w)
{
    char text[2048];
    rmr_pol_why why;
    uint32_t i =
        w->n_bridges < SC_BRIDGES ? w->n_bridges++ : sc_roll(w, SC_BRIDGES);
    w->bridges[i].from = sc_roll(w, w->n_users);
    w->bridges[i].to = sc_roll(w, w->n_users);
    size_t n = (size_t)snprintf(
        text, sizeof text,
        "{\"acls\":[{\"action\":\"accept\",\"src\":[\"autogroup:member\"],"
        "\"dst\":[\"autogroup:self:*\"]}");
    for (i = 0; i < w->n_bridges; i++)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              ",{\"action\":\"accept\",\"src\":[\"user%u@\"],"
                              "\"dst\":[\"user%u@:80\"]}",
                              w->bridges[i].from, w->bridges[i].to);
    (void)snprintf(text + n, sizeof text - n, "]}");
    rmr_err e = rmr_coord_set_policy(w->coord, rmr_bytes_str(text), &why);
    parts_need(e, e ? why.text : "policy");
    return true;
}

void sc_change(scale *w)
{
    static bool (*const kinds[SC_KINDS])(scale * w) = {join, leave, roam,
                                                       expire, policy};
    for (uint32_t i = 0; i < w->n_members; i++) {
        sc_member *m = &w->members[i];
        if (m->has_left && !rmr_sim_is_running(w->sim, m->program, NULL))
            sc_bury(m);
    }
    uint32_t kind = sc_roll(w, SC_KINDS);
    if (kind == SC_JOIN && !pick(w, false))
        kind = SC_LEAVE;
    w->done[kind] += kinds[kind](w);
    parts_need(rmr_sim_poke(w->sim, w->coord_program), "poke");
}
