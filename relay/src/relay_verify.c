/* Admission by URL, for those whom the host lets in: each client that proved its
 * key is asked for by a POST.  A few askers keep their connections; the clients
 * wait in a list, at most 5 s each, and then at most 5 s for their answer. */
#include "relay_internal.h"

#include <remora/json.h>
#include <remora/text.h>
#include <stdio.h>
#include <string.h>

#define ASKERS 8
#define TIMEOUT (5 * RMR_SEC)
#define REPLY_MAX 4096

typedef struct rl_asker {
    rmr_relay *r;
    rmr_mc_link *link;
    rmr_h1 *h1;
    rl_conn *conn;   /* who is asked for; NULL: it is free, or answered late */
    rmr_time by;     /* not free: when it gives up, be its client gone or not */
    bool open;       /* the stream is there */
    bool reused;     /* ... and has served before: it may be dead already */
    bool asked;      /* the request was written */
    bool again;      /* the next request may go by this stream */
    uint16_t status; /* of the answer to come; 0: its head is not here */
    uint8_t reply[REPLY_MAX];
    size_t reply_len;
} rl_asker;

struct rl_verify {
    rl_asker askers[ASKERS];
    rl_conn *head, *tail;
    rmr_time answered; /* the last time that the URL said something */
    uint64_t unreachable, overrun;
};

/* ---- who waits --------------------------------------------------------- */

static void enqueue(rl_verify *v, rl_conn *c)
{
    c->verify_queued = true;
    c->verify_next = NULL;
    c->verify_prev = v->tail;
    if (v->tail)
        v->tail->verify_next = c;
    else
        v->head = c;
    v->tail = c;
}

static void dequeue(rl_verify *v, rl_conn *c)
{
    if (!c->verify_queued)
        return;
    c->verify_queued = false;
    if (c->verify_prev)
        c->verify_prev->verify_next = c->verify_next;
    else
        v->head = c->verify_next;
    if (c->verify_next)
        c->verify_next->verify_prev = c->verify_prev;
    else
        v->tail = c->verify_prev;
}

static void verdict(rl_conn *c, rmr_time now, bool yes)
{
    rmr_relay *r = c->r;
    dequeue(r->verify, c);
    if (c->asker)
        c->asker->conn = NULL;
    c->asker = NULL;
    if (yes)
        r->count.admitted++;
    else
        r->count.refused++;
    if (c->client.id != 0)
        rmr_dsw_admit(r->sw, now, c->client, yes);
    rmri_relay_stir(r);
}

/* No answer is one of the configuration's two.  But half an answer is one, and
 * no yes: a page that says 403 is often longer than we read. */
static void unreachable(rl_conn *c, rmr_time now)
{
    rmr_relay *r = c->r;
    if (c->asker && c->asker->status != 0) {
        verdict(c, now, false);
        return;
    }
    if (r->verify->unreachable++ == 0)
        rmri_relay_trouble(r, RMR_E_UNREACHABLE,
                           r->verify_fail_closed
                               ? "the verification URL can't be reached: "
                                 "clients are refused"
                               : "the verification URL can't be reached: "
                                 "clients are admitted");
    verdict(c, now, !r->verify_fail_closed);
}

/* It was never asked for.  A URL that answered others meanwhile is not away,
 * but busy: were that as good as a yes, a crowd would be a way past it. */
static void not_asked(rl_conn *c, rmr_time now)
{
    rmr_relay *r = c->r;
    rl_verify *v = r->verify;
    if (v->answered <= rmr_time_since(c->verify_by, TIMEOUT)) {
        unreachable(c, now);
        return;
    }
    if (v->overrun++ == 0)
        rmri_relay_trouble(r, RMR_E_FULL,
                           "the verification URL is too slow: clients that "
                           "it was not asked for are refused");
    verdict(c, now, false);
}

/* ---- one asker --------------------------------------------------------- */

static void dial(rl_asker *a, rmr_time now)
{
    const rmr_url *url = &a->r->verify_url;
    rmr_dial to = {0};
    memcpy(to.host, url->host, sizeof to.host);
    to.port = url->port;
    to.tls = url->https;
    to.timeout = TIMEOUT;
    a->open = false;
    a->reused = false;
    rmr_mc_link_dial(a->link, now, &to);
}

static rmr_err request(rl_asker *a, rmr_buf dst, size_t *len)
{
    char key[2 * RMR_KEY_LEN + 16] = "nodekey:", host[272];
    char source[RMR_ADDR_TEXT_MAX];
    uint8_t body[256];
    rmr_jw w;
    rmr_bytes text = {body, 0};
    rmr_hex(key + strlen(key), a->conn->verify_key, RMR_KEY_LEN);
    rmr_jw_init(&w, rmr_buf_of(body, sizeof body));
    rmr_jw_object(&w);
    rmr_jw_kstr(&w, "NodePublic", key);
    rmr_jw_kstr(&w, "Source", rmr_addr_ip_text(&a->conn->remote, source));
    rmr_jw_object_end(&w);
    rmr_err err = rmr_jw_end(&w, &text.len);
    if (err != RMR_OK)
        return err;
    return rmr_h1_build_request(dst, len, "POST", a->r->verify_url.path,
                                rmr_url_authority(&a->r->verify_url, host),
                                NULL, 0, &text);
}

/* "Allow" as a member of the answer's own object, and true: nothing else. */
static rmr_err on_value(void *user, uint32_t id, rmr_json_kind kind,
                        rmr_bytes text)
{
    bool *yes = user;
    (void)text;
    if (id != 1)
        return RMR_E_MALFORMED;
    *yes = kind == RMR_JSON_TRUE;
    return RMR_OK;
}

static rmr_err on_nest(void *user, uint32_t id, rmr_json_kind kind)
{
    (void)user;
    return id == 0 && (kind == RMR_JSON_OBJECT || kind == RMR_JSON_OBJECT_END)
               ? RMR_OK
               : RMR_E_MALFORMED;
}

static bool says_yes(const rl_asker *a)
{
    static const rmr_json_field fields[] = {{"Allow", 1, NULL, 0}};
    bool yes = false;
    const rmr_json_bind_callbacks cb = {&yes, on_nest, on_value};
    uint8_t scratch[256];
    rmr_json_bind b;
    if (a->status != 200)
        return false;
    rmr_json_bind_init(&b, rmr_buf_of(scratch, sizeof scratch), fields, 1, &cb);
    return rmr_json_bind_feed(&b, rmr_bytes_of(a->reply, a->reply_len)) ==
               RMR_OK &&
           rmr_json_bind_end(&b) == RMR_OK && yes;
}

static rmr_err on_head(void *user, const rmr_h1_head *head)
{
    rl_asker *a = user;
    a->status = head->status;
    a->again = head->keep_alive;
    a->reply_len = 0;
    return RMR_OK;
}

static rmr_err on_body(void *user, rmr_bytes data)
{
    rl_asker *a = user;
    if (data.len > sizeof a->reply - a->reply_len)
        return RMR_E_TOOBIG;
    memcpy(a->reply + a->reply_len, data.ptr, data.len);
    a->reply_len += data.len;
    return RMR_OK;
}

static rmr_err on_done(void *user)
{
    rl_asker *a = user;
    a->asked = false;
    a->reused = true;
    a->r->verify->answered = a->r->now;
    if (a->conn)
        verdict(a->conn, a->r->now, says_yes(a));
    return RMR_OK;
}

static rmr_err parser_new(rl_asker *a)
{
    rmr_h1_config cfg = {0};
    cfg.head_max = (size_t)8 * 1024;
    cfg.body_max = REPLY_MAX;
    cfg.callbacks.user = a;
    cfg.callbacks.on_head = on_head;
    cfg.callbacks.on_body = on_body;
    cfg.callbacks.on_done = on_done;
    rmr_h1_free(a->h1);
    a->h1 = NULL;
    return rmr_h1_new(&a->h1, &a->r->env, &cfg);
}

/* ---- the link ---------------------------------------------------------- */

static void link_opened(void *owner, rmr_time now)
{
    rl_asker *a = owner;
    (void)now;
    a->open = true;
    a->asked = false;
    if (parser_new(a) != RMR_OK)
        a->again = false;
    rmri_relay_stir(a->r);
}

/* A kept connection may have died while nobody used it: then once more. */
static void link_closed(void *owner, rmr_time now, rmr_err why,
                        const char *text)
{
    rl_asker *a = owner;
    bool was_reused = a->reused;
    (void)text;
    if (a->open && a->h1 && why == RMR_OK)
        rmr_h1_read_eof(a->h1); /* a body that lasted to the end */
    a->open = false;
    a->asked = false;
    a->reused = false;
    rl_conn *c = a->conn;
    if (c && was_reused && now < a->by)
        dial(a, now);
    else if (c)
        unreachable(c, now);
    rmri_relay_stir(a->r);
}

static void give_up(rl_asker *a, rmr_time now)
{
    rmr_mc_link_close(a->link, now);
    a->open = a->asked = a->reused = false;
    if (a->conn)
        unreachable(a->conn, now);
}

static rmr_err link_read(void *owner, rmr_time now, rmr_buf data)
{
    rl_asker *a = owner;
    size_t used = 0;
    rmr_err err =
        a->h1 ? rmr_h1_read(a->h1, rmr_bytes_of(data.ptr, data.len), &used)
              : RMR_E_STATE;
    rmri_relay_stir(a->r);
    if (err == RMR_OK && (a->asked || a->again))
        return RMR_OK;
    /* Done with this connection, or it makes no sense. */
    a->open = a->asked = a->reused = false;
    if (a->conn)
        unreachable(a->conn, now);
    return RMR_E_CLOSED;
}

static rmr_err link_write(void *owner, rmr_time now, rmr_buf dst, size_t *len)
{
    rl_asker *a = owner;
    (void)now;
    *len = 0;
    if (!a->conn || a->asked)
        return RMR_OK;
    rmr_err err = request(a, dst, len);
    a->asked = err == RMR_OK;
    return err;
}

static const rmr_mc_link_ops link_ops = {.opened = link_opened,
                                         .closed = link_closed,
                                         .read = link_read,
                                         .write = link_write};

/* ---- the whole --------------------------------------------------------- */

rmr_err rmri_relay_verify_new(rmr_relay *r)
{
    rl_verify *v =
        rmr_alloc_zero(&r->env.alloc, sizeof *v, _Alignof(rl_verify));
    if (!v)
        return RMR_E_NOMEM;
    r->verify = v;
    for (size_t i = 0; i < ASKERS; i++) {
        v->askers[i].r = r;
        v->askers[i].link = rmr_mc_link_new(r->mc, &link_ops, &v->askers[i]);
        if (!v->askers[i].link)
            return RMR_E_NOMEM;
    }
    return RMR_OK;
}

void rmri_relay_verify_free(rmr_relay *r)
{
    rl_verify *v = r->verify;
    if (!v)
        return;
    for (size_t i = 0; i < ASKERS; i++) {
        rmr_mc_link_free(v->askers[i].link);
        rmr_h1_free(v->askers[i].h1);
    }
    rmr_release(&r->env.alloc, v, sizeof *v);
    r->verify = NULL;
}

/* Inside the switch's callback: only noted, and asked with the next pump. */
void rmri_relay_verify_ask(rl_conn *c, rmr_time now, const rmr_dsw_info *info)
{
    memcpy(c->verify_key, info->key, RMR_KEY_LEN);
    c->verify_by = rmr_time_add(now, TIMEOUT);
    enqueue(c->r->verify, c);
    rmri_relay_stir(c->r);
}

/* An answer that still comes is nobody's; the stream can be used on. */
void rmri_relay_verify_forget(rl_conn *c)
{
    if (!c->r->verify)
        return;
    dequeue(c->r->verify, c);
    if (c->asker)
        c->asker->conn = NULL;
    c->asker = NULL;
}

static bool is_free(const rl_asker *a)
{
    return !a->conn && !a->asked;
}

void rmri_relay_verify_pump(rmr_relay *r, rmr_time now)
{
    rl_verify *v = r->verify;
    for (size_t i = 0; v && v->head && i < ASKERS; i++) {
        rl_asker *a = &v->askers[i];
        if (!is_free(a))
            continue;
        rl_conn *c = v->head;
        dequeue(v, c);
        a->conn = c;
        a->status = 0;
        a->by = rmr_time_add(now, TIMEOUT);
        c->asker = a;
        if (!a->open || !a->h1)
            dial(a, now);
        rmr_mc_link_output(a->link);
    }
    for (size_t i = 0; v && i < ASKERS; i++)
        if (v->askers[i].open && v->askers[i].conn && !v->askers[i].asked)
            rmr_mc_link_output(v->askers[i].link);
}

rmr_time rmri_relay_verify_deadline(const rmr_relay *r)
{
    const rl_verify *v = r->verify;
    if (!v)
        return RMR_TIME_NEVER;
    rmr_time at = v->head ? v->head->verify_by : RMR_TIME_NEVER;
    for (size_t i = 0; i < ASKERS; i++)
        if (!is_free(&v->askers[i]))
            at = rmr_time_min(at, v->askers[i].by);
    return at;
}

void rmri_relay_verify_handle_deadline(rmr_relay *r, rmr_time now)
{
    rl_verify *v = r->verify;
    for (size_t i = 0; v && i < ASKERS; i++)
        if (!is_free(&v->askers[i]) && now >= v->askers[i].by)
            give_up(&v->askers[i], now);
    while (v && v->head && now >= v->head->verify_by)
        not_asked(v->head, now);
}

bool rmri_relay_verify_counts(const rmr_relay *r, uint64_t *admitted,
                              uint64_t *refused, uint64_t *unreachable)
{
    const rl_verify *v = r->verify;
    *admitted = r->count.admitted;
    *refused = r->count.refused;
    *unreachable = v ? v->unreachable : 0;
    return v || r->cb.may_enter;
}
