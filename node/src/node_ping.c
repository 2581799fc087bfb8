/* PingRequests that the control client hands on: a HEAD of the server's own
 * host, by which it sees that a router lives; and pings of a peer, whose result
 * is posted back, over the control connection or to that host.  Another host is
 * never asked: a server could make nodes knock at anybody's door. */
#include "node_internal.h"

#include <remora/http1.h>
#include <stdio.h>
#include <string.h>

#define HEAD_TIMEOUT (15 * RMR_SEC)
#define PING_TIMEOUT (5 * RMR_SEC)
#define POST_TIMEOUT (10 * RMR_SEC)
#define BODY_MAX 1024

typedef enum ask_kind { ASK_HEAD, ASK_DISCO, ASK_TSMP, ASK_ICMP } ask_kind;

static const char *const names[] = {"", "disco", "TSMP", "ICMP"};

typedef enum ask_step {
    ASK_NEW,
    ASK_WAITS,  /* for the peer's answer */
    ASK_ANSWER, /* the result is to be posted */
    ASK_POSTS,  /* HEAD or POST is under way */
    ASK_OVER
} ask_step;

struct nd_ask {
    rmr_node *n;
    nd_ask *next;
    ask_kind kind;
    ask_step step;
    bool is_noise;
    rmr_time deadline, sent_at;
    char text[1024]; /* the URL */
    rmr_url url;
    rmr_addr ip;
    uint64_t tag; /* disco */
    uint16_t id;  /* ICMP */
    uint8_t data[ND_TSMP_DATA];
    /* of the answer */
    rmr_dur took;
    char endpoint[RMR_ADDR_TEXT_MAX];
    uint16_t region, port;
    const char *err; /* "": it went well */
    uint8_t body[BODY_MAX];
    size_t body_len;
    /* the way back */
    rmr_mc_link *link;
    rmr_h1 *h1;
    uint8_t request[BODY_MAX + 1600];
    size_t request_len;
};

/* ---- what is asked ----------------------------------------------------- */

/* Of the server itself, by any port: that of its name is the server's. */
static bool is_allowed(const rmr_node *n, const rmr_url *url)
{
    rmr_url own;
    return rmr_url_parse(rmr_bytes_str(rmr_text_kept(n->url)), &own) ==
               RMR_OK &&
           rmr_bytes_eq_str(rmr_bytes_str(own.host), url->host);
}

static size_t count(const rmr_node *n)
{
    size_t c = 0;
    for (const nd_ask *a = n->asks; a; a = a->next)
        c++;
    return c;
}

static void add(rmr_node *n, const rmr_nm_ping *p, const rmr_url *url,
                ask_kind kind)
{
    nd_ask *a = count(n) < ND_MAX_ASKS
                    ? rmr_alloc_zero(&n->env.alloc, sizeof *a, _Alignof(nd_ask))
                    : NULL;
    if (!a) { /* the server asks again */
        rmr_logf(&n->env.log, RMR_LOG_WARN, ND_LAYER,
                 "a ping of the control server's is left out");
        return;
    }
    a->n = n;
    a->kind = kind;
    a->is_noise = p->url_is_noise;
    a->url = *url;
    a->ip = p->ip;
    a->err = "";
    snprintf(a->text, sizeof a->text, "%s", p->url);
    a->deadline = RMR_TIME_NEVER;
    a->next = n->asks;
    n->asks = a;
    n->dirty = true;
}

/* One of the comma list. */
static void add_type(rmr_node *n, const rmr_nm_ping *p, const rmr_url *url,
                     rmr_bytes type)
{
    for (size_t k = ASK_DISCO; k <= ASK_ICMP; k++)
        if (rmr_bytes_eq_str(type, names[k]) && p->ip.family != RMR_AF_NONE) {
            add(n, p, url, (ask_kind)k);
            return;
        }
    rmr_logf(&n->env.log, RMR_LOG_DEBUG, ND_LAYER,
             "control asks for a ping of a type that is not known");
}

void rmri_node_ping_asked(rmr_node *n, const rmr_nm_ping *p)
{
    rmr_url url;
    const char *at = p->types;
    if (rmr_url_parse(rmr_bytes_str(p->url), &url) != RMR_OK)
        return;
    if (!p->url_is_noise && !is_allowed(n, &url)) {
        rmr_logf(&n->env.log, RMR_LOG_WARN, ND_LAYER,
                 "control asks for a ping of %s, another host: refused",
                 url.host);
        return;
    }
    if (!*at)
        add(n, p, &url, ASK_HEAD);
    while (*at) {
        size_t len = 0;
        while (at[len] && at[len] != ',')
            len++;
        add_type(n, p, &url, rmr_bytes_of(at, len));
        at += len + (at[len] == ',');
    }
}

/* ---- the way back ------------------------------------------------------ */

static rmr_err on_head(void *user, const rmr_h1_head *head)
{
    nd_ask *a = user;
    (void)head; /* what it says is of no meaning */
    a->step = ASK_OVER;
    a->n->dirty = true;
    return RMR_OK;
}

static void opened(void *owner, rmr_time now)
{
    nd_ask *a = owner;
    (void)now;
    rmr_mc_link_output(a->link);
}

static void closed(void *owner, rmr_time now, rmr_err why, const char *text)
{
    nd_ask *a = owner;
    (void)now;
    (void)why;
    if (a->step != ASK_OVER)
        rmr_logf(&a->n->env.log, RMR_LOG_DEBUG, ND_LAYER,
                 "an answer to the control server's ping was lost: %s", text);
    a->step = ASK_OVER;
    a->n->dirty = true;
}

static rmr_err read(void *owner, rmr_time now, rmr_buf data)
{
    nd_ask *a = owner;
    size_t used = 0;
    (void)now;
    if (rmr_h1_read(a->h1, rmr_bytes_of(data.ptr, data.len), &used) != RMR_OK)
        a->step = ASK_OVER;
    return RMR_OK;
}

static rmr_err write(void *owner, rmr_time now, rmr_buf dst, size_t *len)
{
    nd_ask *a = owner;
    (void)now;
    *len = 0;
    if (a->request_len == 0 || dst.len < a->request_len)
        return RMR_OK;
    memcpy(dst.ptr, a->request, a->request_len);
    *len = a->request_len;
    a->request_len = 0;
    return RMR_OK;
}

static const rmr_mc_link_ops ops = {
    .opened = opened, .closed = closed, .read = read, .write = write};

static rmr_err build_request(nd_ask *a)
{
    char authority[272];
    const rmr_header headers[2] = {
        {rmr_bytes_str("Connection"), rmr_bytes_str("close")},
        {rmr_bytes_str("Content-Type"), rmr_bytes_str("application/json")}};
    rmr_bytes body = rmr_bytes_of(a->body, a->body_len);
    bool is_head = a->kind == ASK_HEAD;
    return rmr_h1_build_request(rmr_buf_of(a->request, sizeof a->request),
                                &a->request_len, is_head ? "HEAD" : "POST",
                                a->url.path,
                                rmr_url_authority(&a->url, authority), headers,
                                is_head ? 1 : 2, is_head ? NULL : &body);
}

static void send_http(nd_ask *a, rmr_time now, rmr_dur timeout)
{
    rmr_node *n = a->n;
    rmr_h1_config cfg = {0};
    rmr_dial dial = {0};
    cfg.callbacks.user = a;
    cfg.callbacks.on_head = on_head;
    a->step = ASK_POSTS;
    a->deadline = rmr_time_add(now, timeout);
    a->link = rmr_mc_link_new(n->mc, &ops, a);
    if (!a->link || rmr_h1_new(&a->h1, &n->env, &cfg) != RMR_OK ||
        build_request(a) != RMR_OK) {
        a->step = ASK_OVER;
        return;
    }
    memcpy(dial.host, a->url.host, sizeof a->url.host);
    dial.port = a->url.port;
    dial.tls = a->url.https;
    dial.timeout = timeout;
    if (rmr_addr_parse_ip(rmr_bytes_str(a->url.host), &dial.addrs[0]) ==
        RMR_OK) {
        dial.addrs[0].port = a->url.port;
        dial.n_addrs = 1;
    }
    rmr_mc_link_dial(a->link, now, &dial);
}

/* ---- the ping ---------------------------------------------------------- */

static void result(nd_ask *a, rmr_time now, const char *err)
{
    a->err = err;
    a->took = rmr_time_since(now, a->sent_at);
    a->step = ASK_ANSWER;
    a->n->dirty = true;
}

static bool is_own(const rmr_node *n, const rmr_addr *ip)
{
    for (size_t i = 0; i < n->n_ips; i++)
        if (rmr_addr_ip_eq(&n->ips[i], ip))
            return true;
    return false;
}

static rmr_err send_ping(nd_ask *a, rmr_time now, const rmr_nm_node *peer)
{
    rmr_node *n = a->n;
    rmr_path_peer path;
    rmr_err err = rmr_rng_fill(&n->env.rng, a->data, sizeof a->data);
    if (err != RMR_OK)
        return err;
    if (a->kind == ASK_TSMP)
        return rmri_node_tsmp_ping(n, &a->ip, a->data);
    if (a->kind == ASK_ICMP) {
        a->id = (uint16_t)(a->data[0] << 8 | a->data[1]);
        return rmr_ns_ping(n->ns, now, &a->ip, a->id, 1,
                           rmr_bytes_of(a->data, sizeof a->data));
    }
    a->tag = ++n->last_ping;
    return rmri_node_paths_want(n, peer->key, &path)
               ? rmr_paths_ping(n->paths, now, path, a->tag)
               : RMR_E_UNREACHABLE;
}

static void begin(nd_ask *a, rmr_time now)
{
    rmr_nm_node peer;
    a->sent_at = now;
    if (a->kind == ASK_HEAD) {
        send_http(a, now, HEAD_TIMEOUT);
    } else if (is_own(a->n, &a->ip)) {
        result(a, now, "that is the local address");
    } else if (!rmr_nm_peer_by_ip(a->n->nm, &a->ip, &peer)) {
        result(a, now, "no peer has this address");
    } else {
        a->step = ASK_WAITS;
        a->deadline = rmr_time_add(now, PING_TIMEOUT);
        rmr_err err = send_ping(a, now, &peer);
        if (err != RMR_OK)
            result(a, now, "the ping could not be sent");
    }
}

void rmri_node_ping_pong(rmr_node *n, rmr_time now, uint64_t tag,
                         const rmr_path_pong *pong)
{
    for (nd_ask *a = n->asks; a; a = a->next) {
        if (a->step != ASK_WAITS || a->kind != ASK_DISCO || a->tag != tag)
            continue;
        if (pong->from.udp.family != RMR_AF_NONE)
            (void)rmr_addr_text(&pong->from.udp, a->endpoint);
        else
            a->region = pong->from.region;
        result(a, now, "");
    }
}

static bool waits_for(const nd_ask *a, ask_kind kind, const rmr_addr *from,
                      rmr_bytes data)
{
    return a->step == ASK_WAITS && a->kind == kind &&
           rmr_addr_ip_eq(&a->ip, from) && data.len == sizeof a->data &&
           memcmp(a->data, data.ptr, data.len) == 0;
}

void rmri_node_ping_icmp_pong(rmr_node *n, rmr_time now, const rmr_addr *from,
                              uint16_t id, rmr_bytes payload)
{
    for (nd_ask *a = n->asks; a; a = a->next)
        if (waits_for(a, ASK_ICMP, from, payload) && a->id == id)
            result(a, now, "");
}

void rmri_node_ping_tsmp_pong(rmr_node *n, rmr_time now, const rmr_addr *from,
                              const uint8_t data[ND_TSMP_DATA], uint16_t port)
{
    for (nd_ask *a = n->asks; a; a = a->next) {
        if (!waits_for(a, ASK_TSMP, from, rmr_bytes_of(data, ND_TSMP_DATA)))
            continue;
        a->port = port;
        result(a, now, "");
    }
}

/* ---- the answer -------------------------------------------------------- */

static rmr_err build_body(nd_ask *a)
{
    char ip[RMR_ADDR_TEXT_MAX];
    rmr_nm_node peer;
    rmr_jw w;
    rmr_jw_init(&w, rmr_buf_of(a->body, sizeof a->body));
    rmr_jw_object(&w);
    rmr_jw_kstr(&w, "Type", names[a->kind]);
    rmr_jw_kstr(&w, "IP", rmr_addr_ip_text(&a->ip, ip));
    if (rmr_nm_peer_by_ip(a->n->nm, &a->ip, &peer)) {
        rmr_jw_kstr(&w, "NodeIP", ip);
        rmr_jw_kstr(&w, "NodeName", peer.name);
    }
    if (a->err[0])
        rmr_jw_kstr(&w, "Err", a->err);
    else {
        rmr_jw_key(&w, "LatencySeconds");
        rmr_jw_double(&w, (double)a->took / (double)RMR_SEC);
    }
    if (a->endpoint[0])
        rmr_jw_kstr(&w, "Endpoint", a->endpoint);
    if (a->region) {
        rmr_jw_ku64(&w, "DERPRegionID", a->region);
        rmr_jw_kstr(&w, "DERPRegionCode",
                    rmri_node_region_code(a->n, a->region));
    }
    if (a->port)
        rmr_jw_ku64(&w, "PeerAPIPort", a->port);
    if (is_own(a->n, &a->ip))
        rmr_jw_kbool(&w, "IsLocalIP", true);
    rmr_jw_object_end(&w);
    return rmr_jw_end(&w, &a->body_len);
}

static void answer(nd_ask *a, rmr_time now)
{
    if (a->body_len == 0 && build_body(a) != RMR_OK) {
        a->step = ASK_OVER;
        return;
    }
    if (!a->is_noise) {
        send_http(a, now, POST_TIMEOUT);
        return;
    }
    rmr_err err = rmr_ctl_answer_ping(a->n->ctl, a->text,
                                      rmr_bytes_of(a->body, a->body_len));
    bool is_late =
        rmr_time_since(now, a->sent_at) > PING_TIMEOUT + POST_TIMEOUT;
    if (err == RMR_E_FULL && !is_late) { /* one at a time */
        a->deadline = rmr_time_add(now, RMR_SEC / 10);
        return;
    }
    a->step = ASK_OVER;
    rmr_mc_link_output(a->n->ctl_link);
}

/* ---- every turn -------------------------------------------------------- */

static void advance(nd_ask *a, rmr_time now)
{
    if (a->step == ASK_NEW)
        begin(a, now);
    if (a->step == ASK_WAITS && now >= a->deadline)
        result(a, now, "timed out");
    if (a->step == ASK_POSTS && now >= a->deadline)
        a->step = ASK_OVER;
    if (a->step == ASK_ANSWER)
        answer(a, now);
}

static void ask_free(nd_ask *a)
{
    rmr_node *n = a->n;
    rmr_mc_link_free(a->link);
    rmr_h1_free(a->h1);
    rmr_release(&n->env.alloc, a, sizeof *a);
}

void rmri_node_pings_pump(rmr_node *n, rmr_time now)
{
    for (nd_ask **at = &n->asks; *at;) {
        nd_ask *a = *at;
        advance(a, now);
        if (a->step != ASK_OVER) {
            at = &a->next;
            continue;
        }
        *at = a->next;
        ask_free(a);
    }
}

rmr_time rmri_node_pings_deadline(const rmr_node *n)
{
    rmr_time at = RMR_TIME_NEVER;
    for (const nd_ask *a = n->asks; a; a = a->next)
        at = rmr_time_min(at, a->deadline);
    return at;
}

void rmri_node_pings_free(rmr_node *n)
{
    while (n->asks) {
        nd_ask *a = n->asks;
        n->asks = a->next;
        ask_free(a);
    }
}
