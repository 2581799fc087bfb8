/* Runs the steps of a scenario line. */
#include "scn_world.h"

#include <remora/addr.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MAX (3 * RMR_SEC)
#define LATE_MAX (70 * RMR_SEC)
#define SOON (100 * RMR_MS)

bool scn_bad(scn_world *w, const char *fmt, ...)
{
    if (!w->err[0]) {
        char msg[128];
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(msg, sizeof msg, fmt, ap);
        va_end(ap);
        (void)snprintf(w->err, sizeof w->err, "at \"%s\": %s", w->step, msg);
    }
    return false;
}

uint8_t scn_stream(uint64_t at)
{
    return (uint8_t)(at * 7 + (at >> 8) * 3 + 5);
}

/* ---- the queue of what was sent ---------------------------------------- */

scn_pkt *scn_queue(scn_world *w)
{
    if (w->q_n == SCN_PKTS) {
        (void)scn_bad(w, "%s", "too many packets");
        return NULL;
    }
    return &w->q[(w->q_head + w->q_n) % SCN_PKTS];
}

void scn_queued(scn_world *w)
{
    w->q_n++;
}

static scn_pkt *unqueue(scn_world *w)
{
    scn_pkt *p = &w->q[w->q_head];
    w->q_head = (w->q_head + 1) % SCN_PKTS;
    w->q_n--;
    return p;
}

/* ---- what arrives ------------------------------------------------------ */

static void feed_pieces(scn_world *w, const uint8_t *b, size_t total,
                        const char *order)
{
    static uint16_t id = 100;
    uint8_t f[1300];
    id++;
    for (; *order; order++)
        w->end->feed(w, f, scn_build_piece(b, total, *order, id, f));
}

static bool step_in(scn_world *w, const char *text, const char *frag,
                    bool later)
{
    scn_seg g;
    uint8_t b[8192];
    if (!scn_parse_seg(w, text, &g))
        return false;
    while (g.step && g.end - g.seq > g.step) {
        scn_seg part = g;
        part.end = g.seq + g.step;
        w->end->feed(w, b, scn_build_segment(w, &part, b));
        if (!w->end->pump(w))
            return false;
        g.seq += g.step;
    }
    size_t total = scn_build_segment(w, &g, b);
    if (frag[0])
        feed_pieces(w, b, total, frag);
    else
        w->end->feed(w, b, total);
    return later || w->end->pump(w);
}

/* "ORDER FLAGS seq ..." */
static bool step_fragments(scn_world *w, const char *text)
{
    char order[16] = "";
    (void)sscanf(text, "%15[0-9]", order);
    return step_in(w, text + strlen(order) + 1, order, false);
}

static bool step_icmp(scn_world *w, const char *text)
{
    scn_icmp i;
    uint8_t b[56];
    if (!scn_parse_icmp(w, text, &i))
        return false;
    w->end->feed(w, b, scn_build_icmp(w, &i, b));
    return w->end->pump(w);
}

/* ---- what is sent ------------------------------------------------------- */

static bool match_next(scn_world *w, const scn_seg *g, rmr_dur wait)
{
    if (!w->q_n && wait && !w->end->pass(w, wait, true))
        return false;
    if (!w->q_n)
        return scn_bad(w, "%s", "nothing was sent");
    scn_pkt *p = unqueue(w);
    if (w->active && !w->our_iss_known)
        w->port = rmr_load_be16(p->b + 20);
    return scn_match(w, g, p);
}

static bool step_out(scn_world *w, const char *text, rmr_dur wait)
{
    scn_seg g;
    if (!scn_parse_seg(w, text, &g))
        return false;
    while (g.step && g.end - g.seq > g.step) {
        scn_seg part = g;
        part.end = g.seq + g.step;
        if (!match_next(w, &part, wait))
            return false;
        g.seq += g.step;
    }
    return match_next(w, &g, wait);
}

static bool step_anything(scn_world *w)
{
    while (w->q_n)
        scn_look(w, unqueue(w));
    return true;
}

static bool step_silence(scn_world *w, const char *text)
{
    rmr_dur d = (text[0] ? (rmr_dur)atoi(text) : 150) * RMR_MS;
    w->cut = w->end->real_time ? d / 8 : 0;
    if (!w->q_n && !w->end->pass(w, d - w->cut, true))
        return false;
    if (w->q_n) {
        scn_seg none = {0};
        none.flags = 0xff; /* differs from all, and so says what it was */
        return scn_match(w, &none, &w->q[w->q_head]);
    }
    return true;
}

/* ---- steps ------------------------------------------------------------ */

static bool run_steps(scn_world *w, char *steps);

static void open_options(scn_world *w, const char *opts, char *syn, size_t cap)
{
    char copy[100], *save = NULL;
    bool mss = false;
    (void)snprintf(copy, sizeof copy, "%s", opts);
    syn[0] = 0;
    for (char *f = strtok_r(copy, ",", &save); f;
         f = strtok_r(NULL, ",", &save)) {
        size_t n = strlen(syn);
        if (scn_is_word(f, "rcv="))
            continue;
        mss |= scn_is_word(f, "mss");
        if (f[0] == 'w' && f[1] != 's')
            w->wnd = (uint32_t)atoi(f + 1);
        else
            (void)snprintf(syn + n, cap - n, " %s%s", f,
                           strcmp(f, "ts") ? "" : "100");
    }
    if (!mss) {
        size_t n = strlen(syn);
        (void)snprintf(syn + n, cap - n, " mss1240");
    }
}

/* EST(opts) and ACT(opts). */
static bool open_conn(scn_world *w, const char *t)
{
    char opts[100] = "", syn[160], steps[400];
    const char *p = strchr(t, '(');
    if (p)
        (void)snprintf(opts, sizeof opts, "%.*s", (int)strcspn(p + 1, ")"),
                       p + 1);
    open_options(w, opts, syn, sizeof syn);
    if (scn_is_word(t, "EST"))
        (void)snprintf(steps, sizeof steps,
                       "app: listen ; < S 0%s ; > S. 0 a1 ; < . 1 a1 ; "
                       "app: accept",
                       syn);
    else
        (void)snprintf(steps, sizeof steps,
                       "app: connect ; > S 0 ; < S. 0 a1%s ; > . 1 a1 ; "
                       "ev: connected",
                       syn);
    return run_steps(w, steps);
}

static bool step_app(scn_world *w, const char *what)
{
    if (scn_is_word(what, "port ")) {
        w->port = (uint16_t)atoi(what + 5);
        return true;
    }
    if (scn_is_word(what, "at ")) { /* that the peer talks to */
        rmr_addr a;
        if (rmr_addr_parse_ip(rmr_bytes_str(what + 3), &a))
            return scn_bad(w, "%s", "no address");
        memcpy(w->our_ip, a.ip, sizeof w->our_ip);
        return true;
    }
    if (!strcmp(what, "connect")) {
        w->active = true;
        w->our_iss_known = false;
    }
    return w->end->app(w, what) && w->end->pump(w);
}

static bool step_event(scn_world *w, const char *what)
{
    return w->end->event(w, what) && w->end->pump(w);
}

static bool run_one(scn_world *w, const char *t)
{
    if (scn_is_word(t, "app: "))
        return step_app(w, t + 5);
    if (scn_is_word(t, "ev: "))
        return step_event(w, t + 4);
    if (scn_is_word(t, "EST") || scn_is_word(t, "ACT"))
        return open_conn(w, t);
    if (t[0] == '+')
        return w->end->pass(w, strtoull(t + 1, NULL, 10) * RMR_MS, false);
    if (scn_is_word(t, ">none"))
        return step_silence(w, t + 5 + (t[5] == ' '));
    if (!strcmp(t, ">any"))
        return step_anything(w);
    if (scn_is_word(t, ">now "))
        return step_out(w, t + 5, w->end->real_time ? 2 * w->cut + SOON : 0);
    if (scn_is_word(t, ">late "))
        return step_out(w, t + 6, LATE_MAX);
    if (scn_is_word(t, "> "))
        return step_out(w, t + 2, WAIT_MAX);
    if (scn_is_word(t, "<frag "))
        return step_fragments(w, t + 6);
    if (scn_is_word(t, "< icmp"))
        return step_icmp(w, t + 6);
    if (scn_is_word(t, "< "))
        return step_in(w, t + 2, "", false);
    if (scn_is_word(t, "<+ "))
        return step_in(w, t + 3, "", true);
    return scn_bad(w, "%s", "not a step");
}

/* "N × < ..." and "> N × ...". */
static bool run_step(scn_world *w, const char *t)
{
    char one[256];
    int n = 1, used = 0;
    (void)snprintf(w->step, sizeof w->step, "%s", t);
    (void)snprintf(one, sizeof one, "%s", t);
    if (sscanf(t, "%d \xc3\x97 %n", &n, &used) == 1 && used)
        (void)snprintf(one, sizeof one, "%s", t + used);
    else if (sscanf(t, "> %d \xc3\x97 %n", &n, &used) == 1 && used)
        (void)snprintf(one, sizeof one, "> %s", t + used);
    else
        n = 1;
    while (n-- > 0)
        if (!run_one(w, one))
            return false;
    return true;
}

static bool run_steps(scn_world *w, char *steps)
{
    char *save = NULL;
    for (char *t = strtok_r(steps, ";", &save); t;
         t = strtok_r(NULL, ";", &save)) {
        while (*t == ' ')
            t++;
        size_t n = strlen(t);
        while (n && (t[n - 1] == ' ' || t[n - 1] == '\n'))
            t[--n] = 0;
        if (!run_step(w, t))
            return false;
    }
    return true;
}

void scn_world_init(scn_world *w, const scn_end *end)
{
    memset(w, 0, sizeof *w);
    w->end = end;
    memcpy(w->our_ip, scn_our_ip, sizeof w->our_ip);
    w->port = 80;
    w->peer_port = 40000;
    w->wnd = 65535;
}

bool scn_world_run(scn_world *w, const char *line)
{
    char steps[2048];
    const char *p = strchr(line, '|');
    p = p ? strchr(p + 1, '|') : NULL;
    if (!p)
        return scn_bad(w, "%s", "no steps");
    (void)snprintf(steps, sizeof steps, "%s", p + 1);
    return run_steps(w, steps);
}
