/* The cipher's work as jobs that other threads may run.  The peer's queue keeps
 * the order of issue; nothing takes effect before all in front of it has. */
#include "wg_internal.h"

enum {
    IDLE, /* the host's; zero, so that a zeroed job is one */
    OUT,  /* in its peer's queue, to be run or being run   */
    DONE, /* in its peer's queue, behind one that isn't    */
    LOST, /* its peer went: in no queue, and not yet run   */
    ENDED /* its peer went: in rmr_wg.ended                */
};

/* What the cipher said of a job, before it was asked: so that nothing passes for
 * sealed or authentic because nobody ran it. */
#define NOT_RUN RMR_E_STATE

/* ---- on any thread ---------------------------------------------------- */

void rmr_wg_job_run(const rmr_aead *aead, rmr_wg_job *const *jobs, size_t n)
{
    rmr_aead_item items[WG_BATCH];
    rmr_wg_job *of[WG_BATCH];
    for (int kind = 0; kind < WG_N_JOB_KINDS; kind++) {
        for (size_t i = 0, k; i < n;) {
            for (k = 0; i < n && k < WG_BATCH; i++) {
                if (jobs[i]->kind != kind)
                    continue;
                of[k] = jobs[i];
                items[k++] = jobs[i]->item;
            }
            if (kind == WG_JOB_SEAL)
                rmr_aead_seal_n(aead, items, k);
            else
                rmr_aead_open_n(aead, items, k);
            while (k-- > 0)
                of[k]->item.err = items[k].err;
        }
    }
}

/* ---- issue ------------------------------------------------------------ */

static void push(wg_peer *p, wg_key *k, rmr_wg_job *job, uint8_t kind)
{
    wg_jobs *q = &p->jobs[kind];
    rmri_wg_key_hold(k);
    job->kind = kind;
    job->state = OUT;
    job->key = k;
    job->next = NULL;
    job->item.err = NOT_RUN;
    if (q->tail)
        q->tail->next = job;
    else
        q->head = job;
    q->tail = job;
    q->n++;
}

static void pop(wg_jobs *q)
{
    q->head = q->head->next;
    if (!q->head)
        q->tail = NULL;
    q->n--;
}

static bool may_issue(const rmr_wg *wg, const rmr_wg_job *job)
{
    return wg->cb.on_job && job->state == IDLE;
}

rmr_err rmr_wg_job_seal(rmr_wg *wg, rmr_time now, rmr_wg_job *job)
{
    if (wg->fatal)
        return wg->fatal;
    wg_peer *p = rmri_wg_peer_of(wg, job->peer);
    if (!p)
        return RMR_E_BADHANDLE;
    rmr_err e = may_issue(wg, job) ? rmri_wg_check_pkt(&job->pkt) : RMR_E_INVAL;
    if (e)
        return e;
    rmri_wg_clock(wg, now);
    if (p->staged || !rmri_wg_can_send(p, wg->now))
        return rmri_wg_wait(wg, p, rmr_pkt_bytes(&job->pkt));
    if (p->jobs[WG_JOB_SEAL].n >= RMR_WG_MAX_JOBS)
        return RMR_E_FULL;
    wg_key *k = p->current;
    size_t inner = job->pkt.len;
    job->ecn = wg->ecn ? rmri_wg_ecn_of(rmr_pkt_data(&job->pkt), inner) : 0;
    job->pkt.off -= RMR_WG_HEADER_LEN;
    job->pkt.len = (uint32_t)rmri_wg_frame(
        wg, k, k->counter++, rmr_pkt_data(&job->pkt), inner, &job->item);
    p->want_ka = false;
    push(p, k, job, WG_JOB_SEAL);
    return RMR_OK;
}

static rmr_err issue_open(rmr_wg *wg, rmr_wg_job *job, rmr_buf d)
{
    wg_key *k = NULL;
    rmr_err e = rmri_wg_find_key(wg, d, &k, &job->item);
    if (e)
        return e;
    wg_peer *p = k->ix.peer;
    if (p->jobs[WG_JOB_OPEN].n >= RMR_WG_MAX_JOBS)
        return RMR_E_FULL;
    job->peer.id = p->id;
    push(p, k, job, WG_JOB_OPEN);
    return RMR_OK;
}

rmr_err rmr_wg_job_read(rmr_wg *wg, rmr_time now, rmr_wg_job *job, bool *is_out)
{
    rmr_buf d = rmr_buf_of(rmr_pkt_data(&job->pkt), job->pkt.len);
    *is_out = false;
    rmr_err e = rmri_wg_enter(wg, now);
    if (e)
        return e;
    if (!may_issue(wg, job) || !rmri_wg_endpoint_ok(job->at))
        return RMR_E_INVAL;
    wg->stats.rx_datagrams++;
    if (d.len >= 4 && rmr_load_le32(d.ptr) == WG_DATA) {
        e = issue_open(wg, job, d);
        *is_out = !e;
    } else {
        e = rmri_wg_read_other(wg, job->at, d);
    }
    if (e)
        rmri_wg_note(wg, e);
    rmri_wg_run_events(wg);
    return e;
}

/* ---- the end ---------------------------------------------------------- */

static void give_back(rmr_wg *wg, rmr_wg_job *job, rmr_err e)
{
    job->err = e;
    job->state = IDLE;
    wg->in_callback = true;
    wg->cb.on_job(wg->cb.user, job);
    wg->in_callback = false;
}

static rmr_err sealed(rmr_wg *wg, wg_peer *p, rmr_wg_job *job)
{
    const wg_key *k = (const wg_key *)job->key;
    if (k->is_dead || rmri_wg_key_is_old(k, wg->now)) {
        p->want_ka = true; /* in its place: it renews the key, and the timers */
        return RMR_E_UNKNOWN;
    }
    p->tx_bytes += job->pkt.len;
    job->at = &p->endpoint;
    return rmri_wg_sent(wg, p, 1, 1);
}

/* The head of a queue is done: it leaves. */
static void leave(rmr_wg *wg, wg_peer *p, rmr_wg_job *job)
{
    wg_key *k = (wg_key *)job->key;
    rmr_err e;
    pop(&p->jobs[job->kind]);
    if (job->kind == WG_JOB_SEAL) {
        e = sealed(wg, p, job);
    } else {
        e = rmri_wg_take(wg, k, &job->item, job->at, wg->ecn ? job->ecn : 0);
        if (e)
            rmri_wg_note(wg, e);
    }
    if (e == RMR_E_UNKNOWN)
        wg->stats.jobs_dropped++;
    rmri_wg_key_drop(wg, k);
    give_back(wg, job, e);
    rmri_wg_run_events(wg);
}

static rmr_err drain(rmr_wg *wg, rmr_wg_peer h, int kind)
{
    wg_peer *p;
    /* A callback may remove the peer. */
    while ((p = rmri_wg_peer_of(wg, h)) != NULL) {
        rmr_wg_job *job = p->jobs[kind].head;
        if (!job || job->state != DONE || wg->fatal)
            break;
        leave(wg, p, job);
    }
    if (p && kind == WG_JOB_SEAL && !p->jobs[kind].n && !wg->fatal) {
        wg->fatal = rmri_wg_flush_staged(wg, p); /* what waited behind */
        rmri_wg_rearm(wg, p);
    }
    return wg->fatal;
}

rmr_err rmr_wg_job_end(rmr_wg *wg, rmr_time now, rmr_wg_job *job)
{
    rmr_err e = rmri_wg_enter(wg, now);
    if (e)
        return e;
    if (job->state == LOST) {
        rmri_wg_key_drop(wg, (wg_key *)job->key);
        give_back(wg, job, RMR_E_UNKNOWN);
    } else if (job->state == OUT && job->item.err != NOT_RUN) {
        rmr_wg_peer h = job->peer;
        job->state = DONE;
        e = drain(wg, h, job->kind);
    } else {
        return RMR_E_INVAL;
    }
    rmri_wg_run_events(wg);
    return e;
}

/* ---- a peer goes ------------------------------------------------------ */

/* Those that were run wait to be told of, as this may be no pump call; the
 * others are told when they have run. */
void rmri_wg_jobs_drop(rmr_wg *wg, wg_peer *p)
{
    for (int kind = 0; kind < WG_N_JOB_KINDS; kind++) {
        wg_jobs *q = &p->jobs[kind];
        while (q->head) {
            rmr_wg_job *job = q->head;
            pop(q);
            wg->stats.jobs_dropped++;
            if (job->state == OUT) {
                job->state = LOST;
                continue;
            }
            rmri_wg_key_drop(wg, (wg_key *)job->key);
            job->state = ENDED;
            job->next = NULL;
            *wg->ended_tail = job;
            wg->ended_tail = &job->next;
        }
    }
}

void rmri_wg_jobs_tell(rmr_wg *wg)
{
    while (wg->ended) {
        rmr_wg_job *job = wg->ended;
        wg->ended = job->next;
        if (!wg->ended)
            wg->ended_tail = &wg->ended;
        give_back(wg, job, RMR_E_UNKNOWN);
    }
}
