/* Which region to prefer: the least latency of the last five minutes, and some
 * stickiness, for each change of home costs all peers a moment. */
#include "netcheck_internal.h"

#include <string.h>

#define HEARD_FOR (8 * RMR_SEC)        /* a relay that speaks is alive */
#define KEEP_ALIVE_FOR (120 * RMR_SEC) /* twice the relays' keep-alive */
#define WORTH_MOVING (10 * RMR_MS)

/* In thousandths and whole ns: no rounding that a machine could do otherwise.
 * A latency is below 2^36 and a score below 2^20. */
static rmr_dur scaled(const nc_region *r, rmr_dur d)
{
    return r->score ? d * r->score / RMR_NETCHECK_SCORE_ONE : d;
}

/* What is larger than the newest can never be the least again. */
static void remember(rmr_netcheck *nc, nc_region *r)
{
    nc_past new = {nc->now, r->cur.any};
    size_t first = 0, n = r->n_past;
    while (first < n &&
           rmr_time_since(nc->now, r->past[first].at) > HISTORY_FOR)
        first++;
    n -= first;
    memmove(r->past, r->past + first, n * sizeof *r->past);
    if (new.latency != NONE) {
        while (n > 0 && r->past[n - 1].latency >= new.latency)
            n--;
        if (n == HISTORY_LEN) { /* the last one counts as larger than it was */
            n--;
            nc->stats.history_merged++;
        }
        r->past[n++] = new;
    }
    r->n_past = (uint8_t)n;
}

static rmr_dur best_recent(const nc_region *r)
{
    return scaled(r, r->past[0].latency);
}

static bool heard_within(const rmr_netcheck *nc, const nc_region *r, rmr_dur d)
{
    return r && r->has_heard && rmr_time_since(nc->now, r->heard) < d;
}

static bool is_alive(const rmr_netcheck *nc, const nc_region *r)
{
    return heard_within(nc, r, HEARD_FOR) ||
           (r && r->has_heard && r->heard > nc->cur.started);
}

static nc_region *fastest(rmr_netcheck *nc)
{
    nc_region *best = NULL;
    for (size_t i = 0; i < nc->t.n_regions; i++) {
        nc_region *r = &nc->t.regions[i];
        if (r->cur.any != NONE && (!best || best_recent(r) < best_recent(best)))
            best = r;
    }
    return best;
}

/* Whether `old` stays although `new` (NULL: none answered) looks better. */
static bool stays(const rmr_netcheck *nc, const nc_region *old,
                  const nc_region *new)
{
    rmr_dur cur = old && old->cur.any != NONE ? scaled(old, old->cur.any) : 0;
    rmr_dur best = new ? best_recent(new) : 0;
    if (cur == 0 && !is_alive(nc, old))
        return false;
    return cur < best + WORTH_MOVING || best > cur / 3 * 2;
}

uint16_t rmri_nc_prefer(rmr_netcheck *nc)
{
    uint16_t prev = nc->report.preferred_derp;
    for (size_t i = 0; i < nc->t.n_regions; i++)
        remember(nc, &nc->t.regions[i]);
    const nc_region *old = rmri_nc_region(nc, prev), *best = fastest(nc);
    const nc_region *forced = rmri_nc_region(nc, nc->how.force_region);
    uint16_t choice = best ? best->id : 0;
    if (prev && choice != prev && stays(nc, old, best))
        choice = prev;
    if (forced && (forced->cur.any != NONE || is_alive(nc, forced)))
        choice = forced->id;
    if (choice == 0 && heard_within(nc, old, KEEP_ALIVE_FOR))
        choice = prev;
    return choice;
}

void rmr_netcheck_note_frame(rmr_netcheck *nc, rmr_time now, uint16_t region)
{
    nc_region *r = rmri_nc_region(nc, region);
    if (now > nc->now)
        nc->now = now;
    if (!r)
        return;
    r->has_heard = true;
    r->heard = nc->now;
}

static bool can_be_home(const nc_region *r)
{
    return r->has_relay && !r->no_measure && !r->avoid;
}

/* Any one will do, but not another one each time. */
static uint16_t any_home(const rmr_netcheck *nc)
{
    size_t n = 0;
    for (size_t i = 0; i < nc->t.n_regions; i++)
        n += can_be_home(&nc->t.regions[i]);
    size_t pick = n ? (size_t)(nc->seed % n) : 0;
    for (size_t i = 0; i < nc->t.n_regions; i++)
        if (can_be_home(&nc->t.regions[i]) && pick-- == 0)
            return nc->t.regions[i].id;
    return 0;
}

uint16_t rmr_netcheck_home(const rmr_netcheck *nc, uint16_t current,
                           bool control_up)
{
    uint16_t best = nc->has_report ? nc->report.preferred_derp : 0;
    bool forced = best && best == nc->how.force_region;
    if (!rmri_nc_region(nc, current))
        current = 0;
    if (!rmri_nc_region(nc, best))
        best = 0;
    if (current && ((!control_up && !forced) || !best))
        return current;
    return best ? best : any_home(nc);
}

/* ---- scores -------------------------------------------------------------- */

#define SCORE_MAX 1000000u

static bool digit(rmr_bytes s, size_t i)
{
    return i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9';
}

/* The exponent behind position i, within +-99; false for no number. */
static bool exponent(rmr_bytes s, size_t i, int *out)
{
    bool minus = false;
    int e = 0;
    *out = 0;
    if (i == s.len)
        return true;
    if (s.ptr[i] != 'e' && s.ptr[i] != 'E')
        return false;
    i++;
    if (i < s.len && (s.ptr[i] == '+' || s.ptr[i] == '-'))
        minus = s.ptr[i++] == '-';
    if (!digit(s, i))
        return false;
    for (; digit(s, i); i++)
        e = e < 99 ? e * 10 + (s.ptr[i] - '0') : 99;
    *out = minus ? -e : e;
    return i == s.len;
}

uint32_t rmr_netcheck_score(rmr_bytes s)
{
    uint64_t value = 0; /* the first digits that count, at most 15 */
    int point = 0, exp;
    size_t i = 0;
    bool seen = digit(s, 0);
    for (bool fraction = false;; i++) {
        if (i < s.len && s.ptr[i] == '.' && !fraction && seen) {
            fraction = true;
            if (!digit(s, i + 1))
                return 0;
            continue;
        }
        if (!digit(s, i))
            break;
        bool room = value < 100000000000000u;
        if (room)
            value = value * 10 + (uint64_t)(s.ptr[i] - '0');
        point += fraction && room ? -1 : !fraction && !room ? 1 : 0;
    }
    if (!seen || !exponent(s, i, &exp) || value == 0)
        return 0;
    exp += point + 3; /* thousandths */
    for (; exp < 0 && value; exp++)
        value /= 10;
    for (; exp > 0 && value < SCORE_MAX; exp--)
        value *= 10;
    return value == 0 ? 1 : value < SCORE_MAX ? (uint32_t)value : SCORE_MAX;
}
