/* Scenarios against our stack, on a virtual clock. */
#include "scn.h"

#include "ns_check.h"
#include "scn_world.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct stack {
    scn_world w;
    const scn_opts *o;
    test_alloc alloc;
    test_rng rng;
    rmr_ns *ns;
    rmr_ns_callbacks cb;
    rmr_time now;
    rmr_ns_sock listener, sock, pending;
    bool has_pending, connected, closed;
    rmr_err why;
    rmr_ns_flow flow;
    int flows, flows_gone;
    bool forward;
    int suspected;
    rmr_ns_error error; /* the last that on_error told */
} stack;

/* ---- callbacks -------------------------------------------------------- */

static void on_accept(void *user, void *tag, rmr_ns_sock l, rmr_ns_sock sock,
                      const rmr_addr *remote)
{
    stack *s = user;
    (void)tag;
    (void)l;
    (void)remote;
    s->pending = sock;
    s->has_pending = true;
}

static void on_connected(void *user, void *tag, rmr_ns_sock sock)
{
    stack *s = user;
    (void)tag;
    (void)sock;
    s->connected = true;
}

static void on_closed(void *user, void *tag, rmr_ns_sock sock, rmr_err why)
{
    stack *s = user;
    (void)tag;
    (void)sock;
    s->closed = true;
    s->why = why;
}

static void on_flow(void *user, rmr_ns_flow flow, uint8_t protocol,
                    const rmr_addr *from, const rmr_addr *to)
{
    stack *s = user;
    (void)protocol;
    (void)from;
    (void)to;
    s->flow = flow;
    s->flows++;
}

static void on_flow_gone(void *user, void *tag, rmr_ns_flow flow)
{
    stack *s = user;
    (void)tag;
    (void)flow;
    s->flows_gone++;
}

static void on_error(void *user, void *tag, rmr_ns_sock sock,
                     const rmr_ns_error *error)
{
    stack *s = user;
    (void)tag;
    (void)sock;
    s->error = *error;
}

static void on_suspect(void *user, void *tag, rmr_ns_sock sock)
{
    stack *s = user;
    (void)tag;
    (void)sock;
    s->suspected++;
}

/* ---- packets and time --------------------------------------------------- */

static stack *stack_of(scn_world *w)
{
    return (stack *)(void *)w; /* its first member */
}

static bool pump(scn_world *w)
{
    stack *s = stack_of(w);
    for (scn_pkt *p; (p = scn_queue(w)); scn_queued(w)) {
        if (rmr_ns_write_pkt(s->ns, s->now, rmr_buf_of(p->b, sizeof p->b),
                             &p->len))
            return scn_bad(w, "%s", "write_pkt fails");
        if (!p->len) {
            ns_check(s->ns);
            return true;
        }
    }
    return false;
}

static bool fire(stack *s)
{
    if (rmr_ns_next_deadline(s->ns) > s->now)
        return true;
    if (rmr_ns_handle_deadline(s->ns, s->now))
        return scn_bad(&s->w, "%s", "handle_deadline fails");
    if (rmr_ns_next_deadline(s->ns) <= s->now)
        return scn_bad(&s->w, "%s", "a deadline survives its handling");
    return pump(&s->w);
}

static bool pass(scn_world *w, rmr_dur time, bool stop)
{
    stack *s = stack_of(w);
    rmr_time target = s->now + time;
    while (!(stop && w->q_n)) {
        rmr_time d = rmr_ns_next_deadline(s->ns);
        if (d > target) {
            s->now = target;
            return true;
        }
        if (d > s->now)
            s->now = d;
        if (!fire(s))
            return false;
    }
    return true;
}

static void feed(scn_world *w, const uint8_t *b, size_t n)
{
    stack *s = stack_of(w);
    /* An exact copy, so that the sanitizer sees reads past the end. */
    uint8_t *copy = malloc(n);
    if (!copy)
        abort();
    memcpy(copy, b, n);
    (void)rmr_ns_read_pkt(s->ns, s->now, rmr_bytes_of(copy, n));
    free(copy);
}

/* ---- the application -------------------------------------------------- */

static bool ok(stack *s, rmr_err e, const char *what)
{
    return e == RMR_OK ? true : scn_bad(&s->w, "%s fails", what);
}

static bool app_send(stack *s, size_t n)
{
    while (n) {
        uint8_t b[1000];
        size_t k = n < sizeof b ? n : sizeof b, taken;
        for (size_t i = 0; i < k; i++)
            b[i] = scn_stream(1 + s->w.sent + i);
        if (!ok(s,
                rmr_ns_tcp_send(s->ns, s->now, s->sock, rmr_bytes_of(b, k),
                                &taken),
                "send"))
            return false;
        if (taken != k)
            return scn_bad(&s->w, "%s", "send takes less");
        s->w.sent += k;
        n -= k;
    }
    return true;
}

/* Reads up to n bytes and checks them. */
static bool app_read(stack *s, size_t n)
{
    for (;;) {
        rmr_bytes v;
        bool eof;
        if (rmr_ns_tcp_peek(s->ns, s->sock, &v, &eof) || v.len == 0 || n == 0)
            return true;
        size_t k = v.len < n ? v.len : n;
        for (size_t i = 0; i < k; i++)
            if (v.ptr[i] != scn_stream(1 + s->w.got + i))
                return scn_bad(&s->w, "%s", "wrong data");
        s->w.got += k;
        n -= k;
        if (!ok(s, rmr_ns_tcp_consume(s->ns, s->now, s->sock, k), "consume"))
            return false;
    }
}

/* listen [halfopen=N] [backlog=N]: with a backlog the application accepts
 * nothing until `resume`. */
static bool app_listen(stack *s, const char *t)
{
    rmr_addr a = rmr_addr_v4(0, 0, 0, 0, 80);
    const char *half = strstr(t, "halfopen="), *back = strstr(t, "backlog=");
    rmr_err e = rmr_ns_tcp_listen(s->ns, &a, NULL, &s->listener);
    if (!e && (half || back))
        e = rmr_ns_tcp_set_backlog(s->ns, s->listener,
                                   half ? (uint32_t)atoi(half + 9) : 128,
                                   back ? (uint32_t)atoi(back + 8) : 128);
    if (!e && back)
        e = rmr_ns_tcp_pause(s->ns, s->now, s->listener, true);
    return ok(s, e, "listen");
}

static bool app_accept(stack *s)
{
    if (!s->has_pending)
        return scn_bad(&s->w, "%s", "nothing to accept");
    s->sock = s->pending;
    return ok(s, rmr_ns_tcp_set_nodelay(s->ns, s->sock, true), "nodelay");
}

static bool app_connect(stack *s)
{
    rmr_addr to = rmr_addr_v4(100, 64, 0, 2, 40000);
    return ok(s, rmr_ns_tcp_connect(s->ns, s->now, NULL, &to, NULL, &s->sock),
              "connect") &&
           ok(s, rmr_ns_tcp_set_nodelay(s->ns, s->sock, true), "nodelay");
}

static bool app_flow(stack *s, const char *t)
{
    rmr_err e;
    if (!strcmp(t, "reject"))
        return ok(s, rmr_ns_flow_refuse(s->ns, s->now, s->flow, RMR_E_REFUSED),
                  "refuse");
    e = rmr_ns_flow_accept(s->ns, s->now, s->flow, NULL, &s->sock);
    if (!strcmp(t, "accept stale"))
        return e == RMR_E_BADHANDLE || scn_bad(&s->w, "%s", "it is there");
    return ok(s, e, "accept");
}

static bool app(scn_world *w, const char *t)
{
    stack *s = stack_of(w);
    rmr_err e = RMR_OK;
    if (scn_is_word(t, "listen"))
        return app_listen(s, t);
    if (!strcmp(t, "accept"))
        return app_accept(s);
    if (scn_is_word(t, "flow "))
        return app_flow(s, t + 5);
    if (!strcmp(t, "connect"))
        return app_connect(s);
    if (scn_is_word(t, "send "))
        return app_send(s, (size_t)atoi(t + 5));
    if (scn_is_word(t, "recv "))
        return app_read(s, (size_t)atoi(t + 5));
    if (scn_is_word(t, "user "))
        e = rmr_ns_tcp_set_user_timeout(s->ns, s->now, s->sock,
                                        (rmr_dur)atoi(t + 5) * RMR_MS);
    else if (scn_is_word(t, "linger "))
        e = rmr_ns_tcp_set_linger(s->ns, s->sock,
                                  (rmr_dur)atoi(t + 7) * RMR_MS);
    else if (!strcmp(t, "cookies"))
        e = rmr_ns_tcp_set_backlog(s->ns, s->listener, 0, 128);
    else if (!strcmp(t, "resume"))
        e = rmr_ns_tcp_pause(s->ns, s->now, s->listener, false);
    else if (!strcmp(t, "nagle"))
        e = rmr_ns_tcp_set_nodelay(s->ns, s->sock, false);
    else if (!strcmp(t, "close"))
        e = rmr_ns_close(s->ns, s->now, s->sock);
    else if (!strcmp(t, "abort"))
        e = rmr_ns_abort(s->ns, s->now, s->sock);
    else if (!strcmp(t, "shutwr"))
        e = rmr_ns_tcp_shutdown(s->ns, s->now, s->sock);
    else if (!strcmp(t, "ka 1,1"))
        e = rmr_ns_tcp_set_keepalive(s->ns, s->now, s->sock, RMR_SEC, RMR_SEC,
                                     2);
    else
        return scn_bad(&s->w, "the application can't \"%s\"", t);
    return ok(s, e, t);
}

static bool closed_with(stack *s, rmr_err why)
{
    if (!s->closed)
        return scn_bad(&s->w, "%s", "not closed");
    return s->why == why ? true
                         : scn_bad(&s->w, "closed: %s", rmr_err_name(s->why));
}

static bool saw_data(stack *s, uint64_t n)
{
    if (!s->sock.id && !app_accept(s))
        return false;
    return app_read(s, SIZE_MAX) &&
           (s->w.got == n || scn_bad(&s->w, "%s", "other length"));
}

static bool saw_eof(stack *s)
{
    rmr_bytes v;
    bool eof = false;
    (void)app_read(s, SIZE_MAX);
    if (s->closed && s->why == RMR_OK)
        return true;
    (void)rmr_ns_tcp_peek(s->ns, s->sock, &v, &eof);
    return eof || scn_bad(&s->w, "%s", "no end of stream");
}

static bool cwnd_is(stack *s, uint32_t segments)
{
    rmr_ns_tcp_info info;
    if (rmr_ns_tcp_get_info(s->ns, s->sock, &info) || !info.mss)
        return scn_bad(&s->w, "%s", "no connection");
    return info.cwnd_bytes / info.mss == segments ||
           scn_bad(&s->w, "it is %u bytes", info.cwnd_bytes);
}

static const char *error_word(rmr_err e)
{
    return e == RMR_E_TIMEOUT       ? "timeout"
           : e == RMR_E_DENIED      ? "denied"
           : e == RMR_E_UNREACHABLE ? "unreachable"
           : e == RMR_E_REFUSED     ? "refused"
           : e == RMR_E_TOOBIG      ? "too big"
                                    : "protocol";
}

/* It was told once, and is kept. */
static bool saw_error(stack *s, const char *word)
{
    rmr_ns_tcp_info info;
    (void)rmr_ns_tcp_get_info(s->ns, s->sock, &info);
    rmr_err e = s->error.why;
    s->error.why = RMR_OK;
    return (e && info.soft_error == e && !strcmp(word, error_word(e))) ||
           scn_bad(&s->w, "it is %s", rmr_err_name(e));
}

static bool half_open_are(stack *s, uint32_t n)
{
    rmr_ns_stats st;
    rmr_ns_get_stats(s->ns, &st);
    return st.half_open == n || scn_bad(&s->w, "there are %u", st.half_open);
}

static bool all_freed(stack *s)
{
    rmr_ns_stats st;
    rmr_ns_get_stats(s->ns, &st);
    return (st.sockets == (s->listener.id ? 1u : 0u) && st.time_wait == 0) ||
           scn_bad(&s->w, "%s", "still there");
}

static bool event(scn_world *w, const char *t)
{
    stack *s = stack_of(w);
    if (scn_is_word(t, "flows "))
        return s->flows == atoi(t + 6) || scn_bad(w, "there are %d", s->flows);
    if (!strcmp(t, "flow"))
        return s->flows == 1 || scn_bad(w, "there are %d", s->flows);
    if (!strcmp(t, "flow-cancel"))
        return s->flows_gone == 1 || scn_bad(w, "%s", "it is still wanted");
    if (scn_is_word(t, "data "))
        return saw_data(s, (uint64_t)atoi(t + 5));
    if (!strcmp(t, "nodata"))
        return app_read(s, SIZE_MAX) &&
               (w->got == 0 || scn_bad(w, "%s", "there is data"));
    if (!strcmp(t, "eof"))
        return saw_eof(s);
    if (!strcmp(t, "connected"))
        return s->connected || scn_bad(w, "%s", "not connected");
    if (!strcmp(t, "noaccept"))
        return !s->has_pending || scn_bad(w, "%s", "accepted");
    if (!strcmp(t, "open"))
        return !s->closed || scn_bad(w, "closed: %s", rmr_err_name(s->why));
    if (scn_is_word(t, "suspected "))
        return s->suspected == atoi(t + 10) || scn_bad(w, "%d", s->suspected);
    if (!strcmp(t, "reset"))
        return closed_with(s, RMR_E_RESET);
    if (!strcmp(t, "refused"))
        return closed_with(s, RMR_E_REFUSED);
    if (!strcmp(t, "timeout"))
        return closed_with(s, RMR_E_TIMEOUT);
    if (scn_is_word(t, "cwnd "))
        return cwnd_is(s, (uint32_t)atoi(t + 5));
    if (scn_is_word(t, "error "))
        return saw_error(s, t + 6);
    if (scn_is_word(t, "half-open "))
        return half_open_are(s, (uint32_t)atoi(t + 10));
    if (!strcmp(t, "freed"))
        return all_freed(s);
    return scn_bad(w, "no event \"%s\"", t);
}

static const scn_end the_stack = {feed, pump, pass, app, event, false};

/* ---- a stack for each line ---------------------------------------------- */

static rmr_err new_stack(stack *s, size_t recv_max)
{
    rmr_ns_config cfg;
    test_rng_seed(&s->rng, 1);
    rmr_env env = test_env(&s->alloc, &s->rng, NULL);
    s->cb.struct_size = sizeof s->cb;
    s->cb.user = s;
    s->cb.on_accept = on_accept;
    s->cb.on_connected = on_connected;
    s->cb.on_closed = on_closed;
    s->cb.on_flow = on_flow;
    s->cb.on_flow_gone = on_flow_gone;
    s->cb.on_error = on_error;
    s->cb.on_suspect = on_suspect;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &s->cb;
    cfg.congestion = RMR_NS_CC_CUBIC;
    cfg.forward = s->forward;
    if (recv_max)
        cfg.tcp_recv_max = recv_max;
    return rmr_ns_new(&s->ns, &env, &cfg, s->now);
}

/* Chooses `now` so that a number that grows with it begins right below 2^32. */
static void choose_now(stack *s)
{
    ns_tuple t;
    memset(&t, 0, sizeof t);
    memcpy(t.local.b, scn_our_ip, 4);
    memcpy(t.remote.b, scn_peer_ip, 4);
    t.rport = 40000;
    t.lport = 80;
    t.family = RMR_AF_INET;
    t.proto = 6;
    s->ns->now = 0;
    if (s->o->isn_wrap) {
        uint32_t h = rmri_ns_isn(s->ns, &t);
        s->now = (rmr_time)(0xffffff00u - h) * 4000;
    } else if (s->o->stamp_wrap) {
        uint32_t off = rmri_ns_ts_offset(s->ns, &t);
        s->now = (rmr_time)(0xfffffff0u - off) * RMR_MS;
    }
    s->ns->now = s->now;
}

static void run(stack *s, const char *line)
{
    const char *rcv = strstr(line, "rcv=");
    s->forward = strstr(line, "app: at ") != NULL;
    if (!ok(s, new_stack(s, rcv ? (size_t)atoi(rcv + 4) : 0), "new"))
        return;
    choose_now(s);
    rmr_addr me = rmr_addr_v4(100, 64, 0, 1, 0);
    rmr_addr service = rmr_addr_v4(100, 100, 100, 100, 0);
    if (ok(s, rmr_ns_addr_add(s->ns, &me), "addr_add") &&
        ok(s, rmr_ns_addr_add(s->ns, &service), "addr_add"))
        (void)scn_world_run(&s->w, line);
    rmr_ns_free(s->ns);
}

void scn_run(const char *line, const scn_opts *o, scn_result *r)
{
    stack *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    scn_world_init(&s->w, &the_stack);
    s->w.peer_iss = o->peer_iss;
    s->o = o;
    s->now = 5000 * RMR_SEC;
    s->alloc.fail_at = o->fail_at;
    run(s, line);
    memset(r, 0, sizeof *r);
    memcpy(r->err, s->w.err, sizeof r->err);
    r->allocs = s->alloc.calls;
    r->alloc_failed = s->alloc.failed != 0;
    if (s->alloc.live_blocks) {
        r->alloc_failed = false; /* not to be forgiven */
        (void)snprintf(r->err, sizeof r->err, "leak of %zu blocks",
                       s->alloc.live_blocks);
    }
    free(s);
}
