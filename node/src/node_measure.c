/* A node that measures the network once and ends.  It has the layers that a run
 * needs, with keys of its own that nobody is told; no control client, and no
 * connection to a relay but those that the run asks for. */
#include "node_internal.h"

#include <string.h>

#define MAX_AGAIN 1 /* runs */

static const char no_map[] =
    "no relays are known: the state directory keeps no netmap; give a relay "
    "map";

static rmr_err read_map(rmr_node *n, rmr_time now)
{
    static const char head[] = "{\"DERPMap\":";
    rmr_nm_stream_begin(n->nm);
    rmr_nm_frame_begin(n->nm, rmr_mc_wall(n->mc, now));
    rmr_err err = rmr_nm_frame_feed(n->nm, rmr_bytes_str(head));
    if (err == RMR_OK)
        err = rmr_nm_frame_feed(n->nm,
                                rmr_bytes_of(n->derp_map, n->derp_map_len));
    if (err == RMR_OK)
        err = rmr_nm_frame_feed(n->nm, rmr_bytes_str("}"));
    rmr_err ended = rmr_nm_frame_end(n->nm);
    rmri_node_measure_free(n);
    return err != RMR_OK ? err : ended;
}

void rmri_node_measure_free(rmr_node *n)
{
    if (n->derp_map)
        rmr_release(&n->env.alloc, n->derp_map, n->derp_map_len);
    n->derp_map = NULL;
    n->derp_map_len = 0;
}

void rmri_node_measure_start(rmr_node *n, rmr_time now)
{
    bool given = n->derp_map != NULL;
    rmr_err err = rmr_key_generate(&n->env.rng, n->keys.node);
    if (err == RMR_OK)
        err = rmri_node_layers_new(n, now);
    n->phase = err == RMR_OK ? ND_PHASE_UP : n->phase;
    if (err == RMR_OK && given)
        err = read_map(n, now);
    n->dirty = true;
    if (err != RMR_OK) {
        bool memory = err == RMR_E_NOMEM || err == RMR_E_RNG;
        rmri_node_fail(n, now, err,
                       given && !memory ? "the relay map is no DERPMap in JSON"
                                        : NULL);
        return;
    }
    rmri_node_netcheck_want(n, now, RMR_NETCHECK_WHY_USER);
    if (given && rmr_nm_derp_count(n->nm) == 0)
        rmri_node_fail(n, now, RMR_E_NOTFOUND,
                       "the relay map has no region with a relay");
    else if (!given)
        rmri_node_cache_load(n);
}

void rmri_node_measure_cached(rmr_node *n, rmr_time now)
{
    if (n->only_netcheck && rmr_nm_derp_count(n->nm) == 0)
        rmri_node_fail(n, now, RMR_E_NOTFOUND, no_map);
}

static bool tell(rmr_node *n, rmr_time now, const rmr_netcheck_report *r)
{
    size_t len = 0;
    uint8_t *buf = rmr_alloc_zero(&n->env.alloc, ND_REPORT_MAX, 1);
    rmr_buf dst = rmr_buf_of(buf, ND_REPORT_MAX);
    bool ok = buf && rmri_node_report_json(n, now, r, dst, &len) == RMR_OK;
    n->in_callback++;
    if (ok && n->cb.on_report)
        n->cb.on_report(n->cb.user, rmr_bytes_of(buf, len));
    n->in_callback--;
    rmr_release(&n->env.alloc, buf, ND_REPORT_MAX);
    return ok;
}

/* Inside the netcheck's callback: the end itself waits for the next turn. */
void rmri_node_measure_done(rmr_node *n, rmr_time now,
                            const rmr_netcheck_report *report)
{
    if (n->phase >= ND_PHASE_STOPPING)
        return;
    if (!report) /* the map changed under it: what is wanted stays wanted */
        rmri_node_netcheck_want(n, now, RMR_NETCHECK_WHY_USER);
    else if (n->sched.pending && n->measured++ < MAX_AGAIN)
        return; /* links or sockets came in the midst: the next run has them */
    else if (tell(n, now, report))
        rmr_node_stop(n, now);
    else
        rmri_node_fail(n, now, RMR_E_NOMEM, "the report is too large");
}
