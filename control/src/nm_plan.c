/* ControlDialPlan: addresses at which the server is to be reached, tried side
 * by side, each with a delay of its own.  A list without one that we can dial
 * means the name again. */
#include "nm_internal.h"

#include <string.h>

#define TIME_MAX_SEC 60.0 /* of a delay, and of a time-out */
#define DEFAULT_TIMEOUT (5 * RMR_SEC)

const rmr_dial_plan *rmri_nm_plan(const rmr_nm *nm)
{
    return nm->plan;
}

static bool is_before(const nm_plan *p, size_t at, const rmr_nm *nm)
{
    const rmr_dial_try *t = &p->d.tries[at];
    if (t->delay != nm->plan_try.delay)
        return t->delay < nm->plan_try.delay;
    return p->priority[at] >= nm->plan_priority;
}

/* The earlier first; of one time the higher priority; else as they came. */
static void add(rmr_nm *nm)
{
    nm_plan *p = &nm->read->new_plan;
    size_t at = 0;
    while (at < p->d.n && is_before(p, at, nm))
        at++;
    if (nm->plan_by_ace || nm->plan_try.addr.family == RMR_AF_NONE)
        return;
    if (p->d.n == RMR_DIAL_PLAN_MAX) {
        rmri_nm_drop(nm);
        return;
    }
    memmove(&p->d.tries[at + 1], &p->d.tries[at],
            (p->d.n - at) * sizeof p->d.tries[0]);
    memmove(&p->priority[at + 1], &p->priority[at],
            (p->d.n - at) * sizeof p->priority[0]);
    p->d.tries[at] = nm->plan_try;
    p->priority[at] = nm->plan_priority;
    p->d.n++;
}

void rmri_nm_plan_free(rmr_nm *nm)
{
    rmr_release(&nm->alloc, nm->plan, sizeof *nm->plan);
    nm->plan = NULL;
}

/* Without memory for it the server goes by its name. */
static void replace(rmr_nm *nm, const rmr_dial_plan *told)
{
    rmri_nm_plan_free(nm);
    if (told->n)
        nm->plan = rmr_alloc_raw(&nm->alloc, sizeof *nm->plan,
                                 _Alignof(rmr_dial_plan));
    if (nm->plan)
        *nm->plan = *told;
}

void rmri_nm_plan_nest(rmr_nm *nm, uint32_t id, rmr_json_kind kind)
{
    if (id == F_PLAN && kind == RMR_JSON_OBJECT) {
        memset(&nm->read->new_plan, 0, sizeof nm->read->new_plan);
    } else if (id == F_PLAN && kind == RMR_JSON_OBJECT_END) {
        replace(nm, &nm->read->new_plan.d);
    } else if (id == F_PLAN_TRY && kind == RMR_JSON_OBJECT) {
        memset(&nm->plan_try, 0, sizeof nm->plan_try);
        nm->plan_try.timeout = DEFAULT_TIMEOUT;
        nm->plan_priority = 0;
        nm->plan_by_ace = false;
    } else if (id == F_PLAN_TRY && kind == RMR_JSON_OBJECT_END) {
        add(nm);
    }
}

/* Go has a float there.  `none` for what is no time. */
static rmr_dur seconds(rmr_json_kind kind, rmr_bytes text, rmr_dur none)
{
    double v;
    if (rmr_json_double(kind, text, &v) || !(v > 0))
        return none;
    return (rmr_dur)((v > TIME_MAX_SEC ? TIME_MAX_SEC : v) * (double)RMR_SEC);
}

void rmri_nm_plan_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                        rmr_bytes text)
{
    rmr_dial_try *t = &nm->plan_try;
    switch (id) {
    case F_PLAN_IP:
        if (kind == RMR_JSON_STRING && rmr_addr_parse_ip(text, &t->addr))
            memset(&t->addr, 0, sizeof t->addr);
        break;
    case F_PLAN_ACE: /* by a CONNECT to that host: others are for us */
        nm->plan_by_ace = kind == RMR_JSON_STRING && text.len > 0;
        break;
    case F_PLAN_DELAY:
        t->delay = seconds(kind, text, 0);
        break;
    case F_PLAN_TIMEOUT:
        t->timeout = seconds(kind, text, DEFAULT_TIMEOUT);
        break;
    default:
        (void)rmr_json_int(kind, text, &nm->plan_priority);
        break;
    }
}
