/* When a stream's frame may go.
 *
 * Each by itself: where many nodes change at once, each peer would be told of
 * each change by a frame of its own, which is quadratic.  So a stream has a
 * pace.  A step is by the number of peers, so that the frames of one change
 * take a tenth of a core at the most; one that was made for another stream takes
 * half as much.  Some may go ahead of it, so that a change alone never waits.
 *
 * All together: a turn makes so many bytes of frames.  When all nodes of a large
 * tailnet come at once their first frames take seconds, and the handshakes of
 * the others would wait behind them until their clients give up. */
#include "crd_internal.h"

#include <stddef.h>

#define STEP_A_PEER (RMR_MS / 10)
#define STEP_MAX (100 * RMR_MS)
#define MADE 2 /* units: what a frame counts that is made; others one */
#define AHEAD (8 * MADE)
#define TURN_MAX ((size_t)1024 * 1024) /* of JSON: 5 to 10 ms */
#define CALLED 16                      /* parked streams that go on in a turn */

/* ---- each ---------------------------------------------------------------- */

static rmr_dur step(const crd_stream *s)
{
    rmr_dur peers = 1;
    for (size_t i = 0; i < s->told.n_words; i++)
        peers += (rmr_dur)__builtin_popcountll(s->told.words[i]);
    return peers < STEP_MAX / STEP_A_PEER ? peers * STEP_A_PEER : STEP_MAX;
}

static bool is_too_fast(crd_stream *s, rmr_time now)
{
    rmr_dur gap = step(s) / MADE;
    uint64_t paid = (now - s->paid) / gap;
    s->ahead -= paid < s->ahead ? (uint32_t)paid : s->ahead;
    s->paid = s->ahead ? s->paid + paid * gap : now;
    if (s->ahead + MADE <= AHEAD)
        return false;
    s->paced = true;
    rmri_crd_timer_set(s->rpc->conn->c, &s->keepalive, CRD_TIMER_KEEPALIVE, s,
                       rmr_time_add(s->paid, gap * (s->ahead + MADE - AHEAD)));
    return true;
}

void rmri_crd_pace_took(crd_stream *s, bool repeated)
{
    s->ahead += repeated ? 1 : MADE;
}

/* ---- all ----------------------------------------------------------------- */

void rmri_crd_pace_init(crd_pace *p)
{
    p->parked.prev = p->parked.next = &p->parked;
    p->due = RMR_TIME_NEVER;
}

void rmri_crd_pace_made(rmr_coord *c, size_t n)
{
    if (c->pace.turn != c->now)
        c->pace.made = 0;
    c->pace.turn = c->now;
    c->pace.made += n;
}

static void park(crd_pace *p, crd_stream *s, rmr_time now)
{
    s->parked.prev = p->parked.prev;
    s->parked.next = &p->parked;
    s->parked.prev->next = &s->parked;
    p->parked.prev = &s->parked;
    p->due = rmr_time_min(p->due, rmr_time_add(now, 1)); /* the next turn */
}

void rmri_crd_pace_handle_deadline(rmr_coord *c, rmr_time now)
{
    crd_pace *p = &c->pace;
    if (now < p->due)
        return;
    for (int i = 0; i < CALLED && p->parked.next != &p->parked; i++) {
        char *at = (char *)p->parked.next - offsetof(crd_stream, parked);
        crd_stream *s = (crd_stream *)(void *)at;
        rmri_crd_unlink(&s->parked);
        rmri_crd_stream_stir(s);
    }
    p->due =
        p->parked.next != &p->parked ? rmr_time_add(now, 1) : RMR_TIME_NEVER;
}

bool rmri_crd_pace_may_go(crd_stream *s, rmr_time now)
{
    crd_pace *p = &s->rpc->conn->c->pace;
    if (is_too_fast(s, now))
        return false;
    if (p->turn != now || p->made < TURN_MAX)
        return true;
    park(p, s, now);
    return false;
}
