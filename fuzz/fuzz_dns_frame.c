/* DNS messages behind their lengths on a stream, and an answer by HTTP, as the
 * node reads them.  However the input is cut the messages are the same; none is
 * longer than there is room for; memory comes back. */
#include "need.h"
#include "node_dns.h"
#include "support.h"

#include <remora/http1.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROOM ((size_t)2 + RMR_MD_MAX_QUERY)

typedef struct seen {
    nd_conn c; /* first: on_message finds the rest by it */
    uint32_t messages, hash;
    uint32_t most; /* this many are taken */
} seen;

static bool on_message(nd_conn *c, rmr_time now, rmr_buf msg)
{
    seen *s = (seen *)(void *)c;
    (void)now;
    need(msg.len <= ROOM - 2);
    for (size_t i = 0; i < msg.len; i++)
        s->hash = (s->hash ^ msg.ptr[i]) * 16777619u;
    s->hash = (s->hash ^ (uint32_t)msg.len) * 16777619u;
    return ++s->messages < s->most;
}

/* Feeds it in pieces of `step` bytes; false: it had to end. */
static bool feed(seen *s, const uint8_t *p, size_t len, size_t step)
{
    for (size_t at = 0; at < len; at += step) {
        size_t n = len - at < step ? len - at : step;
        if (!rmri_node_dns_stream_take(&s->c, 0, rmr_bytes_of(p + at, n),
                                       on_message))
            return false;
        need(s->c.dns->len < ROOM);
    }
    return true;
}

static bool run(rmr_node *n, seen *s, const uint8_t *p, size_t len, size_t step,
                uint32_t most)
{
    memset(s, 0, sizeof *s);
    s->most = most;
    s->c.n = n;
    s->c.dns = rmri_node_dns_stream_new(n, ROOM);
    if (!s->c.dns)
        return false;
    bool ok = feed(s, p, len, step);
    rmr_release(&n->env.alloc, s->c.dns->in, s->c.dns->cap);
    rmr_release(&n->env.alloc, s->c.dns, sizeof *s->c.dns);
    return ok;
}

static void on_answer(void *user, uint64_t client, rmr_bytes msg)
{
    (void)user;
    (void)client;
    (void)msg;
}

static bool find_name(void *user, const char *name, rmr_md_host *out)
{
    (void)user;
    (void)name;
    (void)out;
    return false;
}

static bool find_addr(void *user, const rmr_addr *ip,
                      char name[RMR_MD_NAME_MAX])
{
    (void)user;
    (void)ip;
    (void)name;
    return false;
}

/* The answer to a question by HTTP, in pieces; its length where it came. */
static size_t run_http(rmr_node *n, const uint8_t *p, size_t len, size_t step)
{
    static const uint8_t question[12];
    nd_conn c;
    size_t got = 0;
    memset(&c, 0, sizeof c);
    c.n = n;
    c.dns = rmri_node_dns_stream_new(n, 2 + 65535);
    if (!c.dns)
        return SIZE_MAX;
    c.dns->to = rmr_addr_v4(100, 64, 0, 2, 7000);
    bool ok = rmri_node_dns_http_ask(&c, rmr_bytes_of(question, 12));
    need(!ok || c.dns->out_len < sizeof c.dns->out);
    for (size_t at = 0; ok && at < len; at += step) {
        size_t part = len - at < step ? len - at : step;
        ok = rmri_node_dns_http_take(&c, 0, rmr_bytes_of(p + at, part));
        need(c.dns->len <= c.dns->cap);
    }
    if (c.http_answered)
        got = c.dns->len;
    rmr_h1_free(c.h1);
    rmr_release(&n->env.alloc, c.dns->in, c.dns->cap);
    rmr_release(&n->env.alloc, c.dns, sizeof *c.dns);
    return got;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static rmr_node n;
    static nd_dns d;
    seen whole, cut;
    test_alloc mem;
    test_rng rng;
    rmr_md_callbacks cb = {NULL, find_name, find_addr, on_answer};
    if (size < 1)
        return 0;
    memset(&mem, 0, sizeof mem);
    memset(&n, 0, sizeof n);
    memset(&d, 0, sizeof d);
    test_rng_seed(&rng, 1);
    n.env = test_env(&mem, &rng, NULL);
    n.dns = &d;
    need(rmr_md_new(&d.md, &n.env, &cb) == RMR_OK);
    uint32_t most = data[0] & 1 ? 1 : UINT32_MAX;
    size_t step = 1 + (data[0] >> 1 & 31);
    data++;
    size--;
    bool a = run(&n, &whole, data, size, size ? size : 1, most);
    bool b = run(&n, &cut, data, size, step, most);
    need(a == b && whole.messages == cut.messages && whole.hash == cut.hash);
    need(run_http(&n, data, size, size ? size : 1) ==
         run_http(&n, data, size, step));
    rmr_md_free(d.md);
    need(mem.live_blocks == 0);
    return 0;
}
