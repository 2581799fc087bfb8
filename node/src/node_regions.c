/* DERP regions: a connection to the home region, others while packets go there;
 * which region is home; the DERP map's changes. */
#include "node_internal.h"

#include <stdio.h>
#include <string.h>

/* Attempts in a row at the home region before the next one is tried. */
#define HOME_FAILURES 3
/* Bytes queued for a relay above which connections to it are held back, and
 * below which they go on. */
#define QUEUE_HIGH ((size_t)256 * 1024)
#define QUEUE_LOW ((size_t)128 * 1024)
#define STALLED_AFTER (2 * RMR_SEC)
#define NOTE_EVERY (5 * RMR_SEC)
/* A home that could not be reached is not chosen again before. */
#define SHUN_FOR (300 * RMR_SEC)

/* ---- one region -------------------------------------------------------- */

static void link_opened(void *owner, rmr_time now)
{
    nd_region *r = owner;
    rmr_derp_stream_opened(r->derp, now);
}

static void link_closed(void *owner, rmr_time now, rmr_err why,
                        const char *text)
{
    nd_region *r = owner;
    if (why != RMR_OK)
        rmr_logf(&r->n->env.log, RMR_LOG_INFO, ND_LAYER,
                 "relay region %u (%s): %s", r->id, r->code, text);
    rmr_derp_stream_closed(r->derp, now, why);
}

/* Every frame is a sign of life, a keep-alive too: an idle home has no other.
 * It counts for some seconds, so it is not told each time. */
static void note_life(nd_region *r, rmr_time now)
{
    rmr_derp_stats st;
    if (r->frame_at && rmr_time_since(now, r->frame_at) < NOTE_EVERY)
        return;
    rmr_derp_get_stats(r->derp, &st);
    if (st.last_frame <= r->frame_at)
        return;
    r->frame_at = now;
    rmr_netcheck_note_frame(r->n->netcheck, now, r->id);
}

static rmr_err link_read(void *owner, rmr_time now, rmr_buf data)
{
    nd_region *r = owner;
    rmri_node_data_derp_begin(r->n);
    rmr_err err = rmr_derp_read(r->derp, now, data);
    note_life(r, now);
    return err;
}

static rmr_err link_write(void *owner, rmr_time now, rmr_buf dst, size_t *len)
{
    nd_region *r = owner;
    rmr_err err = rmr_derp_write(r->derp, now, dst, len);
    if (err == RMR_OK && *len > 0)
        r->drained_at = now;
    return err;
}

static void link_stir(void *owner)
{
    ((nd_region *)owner)->n->relay_news = true;
}

static const rmr_mc_link_ops region_link_ops = {
    .opened = link_opened,
    .closed = link_closed,
    .read = link_read,
    .write = link_write,
    .stir = link_stir,
};

static void on_up(void *user)
{
    nd_region *r = user;
    r->up = true;
    r->drained_at = r->n->now;
    r->failures = 0;
    r->n->dirty = true;
    rmr_logf(&r->n->env.log, RMR_LOG_INFO, ND_LAYER,
             "relay region %u (%s) is connected%s", r->id, r->code,
             rmr_derp_is_websocket(r->derp) ? ", in WebSocket frames" : "");
    rmr_paths_region_up(r->n->paths, r->n->now, r->id);
    if (r->n->ns) /* what waited for it need not wait longer */
        rmr_ns_path_changed(r->n->ns, r->n->now, NULL, NULL);
    /* Peers learn of a home when it can be reached. */
    if (r->id == r->n->home)
        rmri_node_net_tell(r->n, r->n->now);
}

static void on_down(void *user, rmr_err why)
{
    nd_region *r = user;
    bool is_tls = -why / 1000 == RMR_LAYER_TLS;
    if (r->up && why != RMR_OK)
        rmri_node_netcheck_want(r->n, r->n->now, RMR_NETCHECK_WHY_RELAY);
    r->up = false;
    r->failures++;
    r->n->dirty = true;
    rmr_paths_region_down(r->n->paths, r->n->now, r->id);
    rmr_logf(&r->n->env.log, RMR_LOG_INFO, ND_LAYER,
             "relay region %u (%s) is gone: %s", r->id, r->code,
             is_tls ? rmr_tls_err_text(why) : rmr_derp_err_text(why));
}

static void on_packet(void *user, const uint8_t src[RMR_KEY_LEN],
                      rmr_buf packet)
{
    nd_region *r = user;
    rmr_node *n = r->n;
    rmri_node_data_from_derp(n, n->now, r->id, src, packet);
}

static void on_peer_gone(void *user, const uint8_t key[RMR_KEY_LEN],
                         uint8_t reason)
{
    nd_region *r = user;
    (void)reason; /* it left, or was never there: no way back to it */
    r->n->dirty = true;
    rmri_node_data_derp_begin(r->n);
    rmr_paths_derp_gone(r->n->paths, r->n->now, key, r->id);
}

/* What a relay says goes to logs and to the status: plain text, and not much. */
static void on_health(void *user, rmr_bytes text)
{
    nd_region *r = user;
    size_t len = 0;
    for (; len < text.len && len + 1 < sizeof r->health; len++) {
        char c = (char)text.ptr[len];
        r->health[len] = c >= ' ' && c <= '~' ? c : '?';
    }
    r->health[len] = '\0';
    r->n->dirty = true;
    rmr_logf(&r->n->env.log, RMR_LOG_WARN, ND_LAYER,
             len ? "relay region %u (%s) has a trouble: %s"
                 : "relay region %u (%s) is well again%s",
             r->id, r->code, r->health);
}

void rmri_node_regions_put_health(const rmr_node *n, rmr_jw *w)
{
    char line[192];
    for (const nd_region *r = n->regions; r; r = r->next) {
        if (!r->health[0])
            continue;
        snprintf(line, sizeof line, "relay %s: %s", r->code, r->health);
        rmr_jw_str(w, line);
    }
}

static rmr_err region_start(nd_region *r, rmr_time now,
                            const rmr_derp_node *nodes, size_t n_nodes)
{
    rmr_node *n = r->n;
    rmr_derp_config cfg;
    rmr_derp_callbacks cb = {0};
    cb.struct_size = sizeof cb;
    cb.user = r;
    cb.on_up = on_up;
    cb.on_down = on_down;
    cb.on_packet = on_packet;
    cb.on_peer_gone = on_peer_gone;
    cb.on_health = on_health;
    rmr_derp_config_init(&cfg, sizeof cfg);
    memcpy(cfg.private_key, n->node_private, RMR_KEY_LEN);
    cfg.nodes = nodes;
    cfg.n_nodes = n_nodes;
    cfg.form = RMR_DERP_EITHER;
    cfg.preferred = cfg.always_on = r->id == n->home;
    /* Connections stop at a third of it (rmri_node_region_hold), so that TCP is
     * held back and not dropped. */
    cfg.queue_pkts = 512;
    cfg.queue_bytes = 768 * 1024;
    cfg.callbacks = &cb;
    rmr_err err = rmr_derp_new(&r->derp, &n->env, &cfg, now);
    rmr_wipe(cfg.private_key, sizeof cfg.private_key);
    return err;
}

static void region_free(nd_region *r)
{
    rmr_node *n = r->n;
    for (nd_region **p = &n->regions; *p; p = &(*p)->next) {
        if (*p == r) {
            *p = r->next;
            break;
        }
    }
    if (r->holds)
        rmr_ns_release(n->ns, r->id);
    rmr_mc_link_free(r->link);
    rmr_derp_free(r->derp);
    rmr_release(&n->env.alloc, r, sizeof *r);
}

static bool nodes_of(rmr_node *n, const rmr_nm_derp_region *v,
                     rmr_derp_node **out)
{
    size_t size = v->n_nodes * sizeof **out;
    rmr_derp_node *nodes =
        rmr_alloc_zero(&n->env.alloc, size, _Alignof(rmr_derp_node));
    if (!nodes)
        return false;
    for (size_t i = 0; i < v->n_nodes; i++) {
        rmr_nm_derp_dial(&v->nodes[i], &nodes[i].dial);
        (void)snprintf(nodes[i].name, sizeof nodes[i].name, "%s",
                       v->nodes[i].name);
        nodes[i].stun_only = v->nodes[i].stun_only;
    }
    *out = nodes;
    return true;
}

static void nodes_free(rmr_node *n, const rmr_nm_derp_region *v,
                       rmr_derp_node *nodes)
{
    if (nodes)
        rmr_release(&n->env.alloc, nodes, v->n_nodes * sizeof *nodes);
}

/* They are zeroed where nothing stands: all of their bytes count. */
static void hash_nodes(uint8_t hash[RMR_HASH_LEN], const rmr_derp_node *nodes,
                       size_t n)
{
    rmr_blake2s_256(hash, rmr_bytes_of(nodes, n * sizeof *nodes),
                    rmr_bytes_of(NULL, 0));
}

static nd_region *region_find(const rmr_node *n, uint16_t id)
{
    for (nd_region *r = n->regions; r; r = r->next)
        if (r->id == id)
            return r;
    return NULL;
}

nd_region *rmri_node_region(rmr_node *n, rmr_time now, uint16_t id)
{
    rmr_nm_derp_region v;
    nd_region *r = region_find(n, id);
    if (r || id == 0 || n->only_netcheck ||
        !rmr_nm_derp_region_by_id(n->nm, id, &v) || v.n_nodes == 0)
        return r;
    r = rmr_alloc_zero(&n->env.alloc, sizeof *r, _Alignof(nd_region));
    if (!r)
        return NULL;
    r->n = n;
    r->id = id;
    snprintf(r->code, sizeof r->code, "%s", v.code);
    r->link = rmr_mc_link_new(n->mc, &region_link_ops, r);
    r->next = n->regions;
    n->regions = r;
    rmr_derp_node *nodes = NULL;
    bool ok = r->link && nodes_of(n, &v, &nodes) &&
              region_start(r, now, nodes, v.n_nodes) == RMR_OK;
    if (ok)
        hash_nodes(r->told, nodes, v.n_nodes);
    nodes_free(n, &v, nodes);
    if (ok)
        return r;
    region_free(r);
    return NULL;
}

void rmri_node_regions_free(rmr_node *n)
{
    while (n->regions)
        region_free(n->regions);
}

void rmri_node_regions_key_changed(rmr_node *n, rmr_time now)
{
    rmri_node_regions_free(n); /* others than the home when they are needed */
    (void)rmri_node_region(n, now, n->home);
    n->dirty = true;
}

/* ---- home -------------------------------------------------------------- */

static bool can_be_home(const rmr_nm_derp_region *v)
{
    if (v->no_measure_no_home)
        return false;
    for (size_t i = 0; i < v->n_nodes; i++)
        if (!v->nodes[i].stun_only)
            return true;
    return false;
}

/* The region that comes after `after` in the map's order, round to the first:
 * where the home can't be reached and nothing better is known. */
static uint16_t next_home(const rmr_node *n, uint16_t after)
{
    rmr_nm_derp_region v;
    uint16_t first = 0;
    for (size_t i = 0; rmr_nm_derp_at(n->nm, i, &v); i++) {
        if (!can_be_home(&v))
            continue;
        if (v.id > after)
            return v.id;
        if (!first)
            first = v.id;
    }
    return first;
}

static size_t count_homes(const rmr_node *n)
{
    rmr_nm_derp_region v;
    size_t count = 0;
    for (size_t i = 0; rmr_nm_derp_at(n->nm, i, &v); i++)
        if (can_be_home(&v))
            count++;
    return count;
}

static void set_home(rmr_node *n, rmr_time now, uint16_t id)
{
    nd_region *old = region_find(n, n->home);
    if (id == n->home && old)
        return;
    n->home = id;
    if (old)
        rmr_derp_set_preferred(old->derp, now, false);
    nd_region *r = rmri_node_region(n, now, id);
    if (!r)
        return;
    rmr_derp_set_preferred(r->derp, now, true);
    if (r->up)
        rmri_node_net_tell(n, now);
}

void rmri_node_regions_choose_home(rmr_node *n, rmr_time now)
{
    rmr_nm_derp_region v;
    uint16_t id = rmr_netcheck_home(n->netcheck, n->home,
                                    n->ctl_state == RMR_CTL_CONNECTED);
    bool shunned = id == n->home_shunned && now < n->home_shunned_until;
    if (id == n->home || !rmr_nm_derp_region_by_id(n->nm, id, &v) ||
        !can_be_home(&v) || (shunned && n->home))
        return;
    rmr_logf(&n->env.log, RMR_LOG_INFO, ND_LAYER,
             "home is relay region %u (%s)", id, v.code);
    set_home(n, now, id);
}

static bool is_same_region(rmr_node *n, const nd_region *r)
{
    rmr_nm_derp_region v;
    rmr_derp_node *nodes = NULL;
    uint8_t told[RMR_HASH_LEN];
    bool same =
        rmr_nm_derp_region_by_id(n->nm, r->id, &v) && nodes_of(n, &v, &nodes);
    if (same) {
        hash_nodes(told, nodes, v.n_nodes);
        same = memcmp(told, r->told, sizeof told) == 0;
    }
    nodes_free(n, &v, nodes);
    return same;
}

void rmri_node_regions_map_changed(rmr_node *n, rmr_time now)
{
    for (nd_region *r = n->regions, *next; r; r = next) {
        next = r->next;
        if (is_same_region(n, r))
            continue;
        if (r->up)
            rmr_paths_region_down(n->paths, now, r->id);
        region_free(r);
    }
    rmri_node_netcheck_map(n, now);
    rmr_nm_derp_region v;
    if (n->home && rmr_nm_derp_region_by_id(n->nm, n->home, &v) &&
        can_be_home(&v)) {
        set_home(n, now, n->home); /* it may have to be dialled anew */
        return;
    }
    n->home = 0;
    /* Where there is no choice nothing has to be measured. */
    if (count_homes(n) == 1)
        set_home(n, now, next_home(n, 0));
}

void rmri_node_regions_check(rmr_node *n, rmr_time now)
{
    for (nd_region *r = n->regions; r; r = r->next) {
        rmr_addr local = rmr_mc_link_local(r->link);
        if (local.family == RMR_AF_NONE)
            continue;
        if (n->has_links && !rmr_addr_is_loopback(&local) &&
            !rmri_node_links_is_own(n, &local)) {
            rmr_mc_link_close(r->link, now);
            rmr_derp_stream_closed(r->derp, now, RMR_E_UNREACHABLE);
        } else if (r->up) {
            rmri_node_check(n, now, rmr_derp_ping(r->derp, now));
        }
    }
}

/* ---- every turn -------------------------------------------------------- */

static void release_some(rmr_node *n, rmr_time now);

void rmri_node_regions_pump(rmr_node *n, rmr_time now)
{
    /* Made with the map, unless there was no memory then. */
    nd_region *home = rmri_node_region(n, now, n->home);
    if (home && !home->up && home->failures >= HOME_FAILURES) {
        uint16_t other = next_home(n, n->home);
        home->failures = 0;
        if (other != n->home) {
            n->home_shunned = n->home;
            n->home_shunned_until = rmr_time_add(now, SHUN_FOR);
            set_home(n, now, other);
        }
    }
    for (nd_region *r = n->regions; r; r = r->next) {
        rmr_dial dial;
        if (rmr_derp_wants_close(r->derp))
            rmr_mc_link_close(r->link, now);
        if (rmr_derp_wants_stream(r->derp, now, &dial))
            rmr_mc_link_dial(r->link, now, &dial);
        rmr_mc_link_output(r->link);
    }
    release_some(n, now);
}

bool rmri_node_regions_send(rmr_node *n, rmr_time now, uint16_t region,
                            const uint8_t key[RMR_KEY_LEN], rmr_bytes data)
{
    nd_region *r = rmri_node_region(n, now, region);
    if (!r)
        return false;
    if (rmr_derp_queued_bytes(r->derp) == 0)
        r->drained_at = now; /* it has had nothing to take */
    rmr_err err = rmr_derp_send(r->derp, now, key, data);
    rmr_mc_link_output(r->link);
    n->dirty = true;
    /* FULL: it is queued, an older one was dropped (and counted there). */
    return err == RMR_OK || err == RMR_E_NOTREADY || err == RMR_E_FULL;
}

/* A relay that takes nothing for a while holds back nobody: what is for it is
 * dropped in its full queue then. */
static bool is_congested(const nd_region *r, rmr_time now, size_t limit)
{
    return r->up && rmr_derp_queued_bytes(r->derp) > limit &&
           rmr_time_since(now, r->drained_at) < STALLED_AFTER;
}

void rmri_node_region_hold(rmr_node *n, rmr_time now, uint16_t region)
{
    nd_region *r = region_find(n, region);
    if (!r || !is_congested(r, now, QUEUE_HIGH))
        return;
    r->holds = true;
    rmr_ns_hold(n->ns, region);
}

static void release(nd_region *r)
{
    r->holds = false;
    rmr_ns_release(r->n->ns, r->id);
    r->n->dirty = true;
}

static void release_some(rmr_node *n, rmr_time now)
{
    for (nd_region *r = n->regions; r; r = r->next)
        if (r->holds && !is_congested(r, now, QUEUE_LOW))
            release(r);
}

rmr_time rmri_node_regions_deadline(const rmr_node *n)
{
    rmr_time at = RMR_TIME_NEVER;
    for (const nd_region *r = n->regions; r; r = r->next) {
        at = rmr_time_min(at, rmr_derp_next_deadline(r->derp));
        if (r->holds)
            at = rmr_time_min(at, rmr_time_add(r->drained_at, STALLED_AFTER));
    }
    return at;
}

void rmri_node_regions_handle_deadline(rmr_node *n, rmr_time now)
{
    for (nd_region *r = n->regions; r; r = r->next)
        rmri_node_check(n, now, rmr_derp_handle_deadline(r->derp, now));
    release_some(n, now);
}

bool rmri_node_region_is_up(const rmr_node *n, uint16_t id)
{
    const nd_region *r = id ? region_find(n, id) : NULL;
    return r && r->up;
}

const char *rmri_node_region_code(const rmr_node *n, uint16_t id)
{
    rmr_nm_derp_region v;
    if (id && rmr_nm_derp_region_by_id(n->nm, id, &v))
        return v.code;
    return "";
}
