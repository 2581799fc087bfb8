/* The responder under a program of operations: questions, time, and answers
 * made from what it asked and then bent by the input.  Invariants: each question
 * is answered once at most, an answer by UDP fits, deadlines are later than the
 * time handled, what is open is bounded and ends, memory comes back. */
#include <remora/magicdns.h>

#include "need.h"
#include "support.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct world {
    rmr_md *md;
    rmr_time now;
    uint64_t next, open, tcp; /* clients: bits of the first 64 */
    uint8_t last[RMR_MD_MAX_QUERY];
    size_t last_len;
    rmr_md_out out;
} world;

static bool find_name(void *user, const char *name, rmr_md_host *out)
{
    (void)user;
    need(strlen(name) < RMR_MD_NAME_MAX);
    out->addrs[0] = rmr_addr_v4(100, 64, 0, 1, 0);
    out->n_addrs = 1;
    out->with_subdomains = name[0] == 's';
    return name[0] == 'n' || name[0] == 's';
}

static bool find_addr(void *user, const rmr_addr *ip,
                      char name[RMR_MD_NAME_MAX])
{
    (void)user;
    memset(name, 'a', RMR_MD_NAME_MAX);
    if (ip->ip[3] & 1)
        memcpy(name, "n.tail.example", 15);
    return ip->ip[0] == 100;
}

static void on_answer(void *user, uint64_t client, rmr_bytes msg)
{
    world *w = user;
    need(client < 64 && w->open >> client & 1);
    w->open &= ~((uint64_t)1 << client);
    need(msg.len >= 12 && msg.ptr[2] & 0x80);
    need(w->tcp >> client & 1 || msg.len <= RMR_MD_MAX_UDP);
}

static const uint8_t *take(const uint8_t **p, size_t *left, size_t n)
{
    static const uint8_t zeros[256];
    if (*left < n) {
        *left = 0;
        return zeros;
    }
    const uint8_t *at = *p;
    *p += n;
    *left -= n;
    return at;
}

static void ask(world *w, bool tcp, rmr_bytes msg)
{
    uint64_t client = w->next++;
    if (client >= 64)
        return;
    w->open |= (uint64_t)1 << client;
    w->tcp |= (uint64_t)tcp << client;
    if (rmr_md_ask(w->md, w->now, client, tcp, msg) != RMR_OK)
        w->open &= ~((uint64_t)1 << client);
}

static void reply(world *w, const uint8_t **p, size_t *left)
{
    uint8_t msg[RMR_MD_MAX_QUERY + 256];
    const uint8_t *head = take(p, left, 3);
    size_t n = head[2];
    if (w->last_len < 12)
        return;
    memcpy(msg, w->last, w->last_len);
    msg[2] = head[0] | 0x80;
    msg[3] = head[1];
    memcpy(msg + w->last_len, take(p, left, n), n);
    (void)rmr_md_read(w->md, w->now, &w->out.to, w->out.tcp,
                      rmr_buf_of(msg, w->last_len + n));
}

static void run(world *w, const uint8_t *p, size_t left)
{
    while (left) {
        uint8_t op = *take(&p, &left, 1);
        size_t n;
        switch (op & 7) {
        case 0:
        case 1:
            n = *take(&p, &left, 1);
            ask(w, op & 1, rmr_bytes_of(take(&p, &left, n), n));
            break;
        case 2:
        case 3:
            if (!rmr_md_next(w->md, w->now, &w->out))
                break;
            need(w->out.msg.len <= sizeof w->last);
            w->last_len = w->out.msg.len;
            memcpy(w->last, w->out.msg.ptr, w->last_len);
            break;
        case 4:
        case 5:
            reply(w, &p, &left);
            break;
        case 6:
            w->now += (rmr_dur)(op >> 3) * 100 * RMR_MS;
            need(rmr_md_handle_deadline(w->md, w->now) == RMR_OK);
            need(rmr_md_next_deadline(w->md) > w->now);
            break;
        default:
            if (op & 8)
                rmr_md_failed(w->md, w->now, w->out.id);
            else
                rmr_md_forget(w->md, op >> 4);
            w->open &= op & 8 ? ~(uint64_t)0 : ~((uint64_t)1 << (op >> 4));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    test_alloc mem;
    test_rng rng;
    world w;
    memset(&mem, 0, sizeof mem);
    memset(&w, 0, sizeof w);
    if (size < 1)
        return 0;
    test_rng_seed(&rng, 1);
    rmr_env env = test_env(&mem, &rng, NULL);
    rmr_md_callbacks cb = {&w, find_name, find_addr, on_answer};
    need(rmr_md_new(&w.md, &env, &cb) == RMR_OK);
    rmr_addr two[2] = {rmr_addr_v4(192, 0, 2, 1, 53),
                       rmr_addr_v4(192, 0, 2, 2, 53)};
    rmr_md_record record = {"extra.example", two[0]};
    rmr_md_route routes[2] = {{"corp.example", two, 2, false},
                              {"own.example", NULL, 0, true}};
    rmr_md_table t = {
        data[0] & 1, "tail.example",   &record, 1, routes,  2,
        two,         data[0] >> 1 & 1, two,     2, &two[1], data[0] >> 2 & 1};
    mem.fail_at = data[0] >> 4;
    (void)rmr_md_set(w.md, &t);
    run(&w, data + 1, size - 1);
    for (int i = 0; i < 40; i++) {
        w.now += 2 * RMR_SEC;
        need(rmr_md_handle_deadline(w.md, w.now) == RMR_OK);
        while (rmr_md_next(w.md, w.now, &w.out))
            continue;
    }
    need(w.open == 0 && rmr_md_next_deadline(w.md) == RMR_TIME_NEVER);
    rmr_md_free(w.md);
    need(mem.live_blocks == 0);
    return 0;
}
