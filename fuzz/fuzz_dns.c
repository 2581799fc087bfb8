/* The resolver under a program of operations: queries, time, and answers, by UDP
 * and by streams, that are made from what it asked and then bent by the input.
 * Also the hosts text and names.  Invariants: deadlines are later than the time handled, each query
 * is answered once at most, memory comes back. */
#include <remora/dns.h>

#include "need.h"
#include "dns_internal.h"
#include "support.h"

#include <remora/cursor.h>

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct world {
    rmr_dns *d;
    rmr_time now;
    uint64_t next_id, open; /* ids begin at 0; open: bits of the first 64 */
    uint8_t last[RMR_DNS_MAX_QUERY];
    size_t last_len;
    rmr_addr last_to;
    uint64_t stream;                  /* the last one that was asked for */
    uint8_t asked[RMR_DNS_MAX_QUERY]; /* by it */
    size_t asked_len;
} world;

static void on_answer(void *user, uint64_t id, rmr_err err,
                      const rmr_addr *addrs, size_t n)
{
    world *w = user;
    need(w->open >> id & 1);
    w->open &= ~((uint64_t)1 << id);
    need((err == RMR_OK) == (n > 0) && n <= RMR_DNS_MAX_ADDRS);
    for (size_t i = 0; i < n; i++)
        need(addrs[i].family != RMR_AF_NONE && addrs[i].port == 0);
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

static void ask(world *w, uint8_t b)
{
    static const char *const names[] = {
        "a.example", "box",
        "box.",      "host",
        "10.0.0.1",  "localhost",
        "x.invalid", "long.name.of.many.labels.example"};
    if (w->next_id >= 64)
        return;
    w->open |= (uint64_t)1 << w->next_id;
    if (rmr_dns_query(w->d, w->now, w->next_id, names[b % 8]) != RMR_OK)
        w->open &= ~((uint64_t)1 << w->next_id);
    w->next_id++;
}

static void send_one(world *w)
{
    uint8_t dst[RMR_DNS_MAX_QUERY];
    size_t len;
    rmr_addr to;
    need(rmr_dns_write_pkt(w->d, w->now, rmr_buf_of(dst, sizeof dst), &len,
                           &to) == RMR_OK);
    if (len) {
        memcpy(w->last, dst, len);
        w->last_len = len;
        w->last_to = to;
    }
}

/* The last query as an answer, with flags and records from the input. */
static void reply(world *w, const uint8_t **p, size_t *left)
{
    uint8_t msg[RMR_DNS_MAX_QUERY + 256];
    const uint8_t *head = take(p, left, 4);
    size_t n = head[3];
    memcpy(msg, w->last, w->last_len);
    if (w->last_len < 12)
        return;
    msg[2] = head[0] | 0x80;
    msg[3] = head[1];
    msg[7] = head[2];
    memcpy(msg + w->last_len, take(p, left, n), n);
    (void)rmr_dns_read_pkt(w->d, w->now, &w->last_to,
                           rmr_bytes_of(msg, w->last_len + n));
}

static void open_stream(world *w)
{
    rmr_addr to;
    if (!rmr_dns_next_stream(w->d, w->now, &w->stream, &to))
        return;
    need(w->stream != 0 && to.port == 53);
    need(rmr_dns_has_stream(w->d, w->stream));
    need(rmr_dns_write_stream(w->d, w->now, w->stream,
                              rmr_buf_of(w->asked, sizeof w->asked),
                              &w->asked_len) == RMR_OK);
    need(w->asked_len > 14);
}

/* An answer to it, bent and cut in two by the input; or what the input says. */
static void stream_bytes(world *w, const uint8_t **p, size_t *left)
{
    uint8_t msg[2 + RMR_DNS_MAX_QUERY + 256];
    const uint8_t *head = take(p, left, 5);
    size_t n = head[3], len = w->asked_len > 14 ? w->asked_len : 0;
    if (len && head[4] & 1) {
        memcpy(msg, w->asked, len);
        msg[2 + 2] = head[0] | 0x80;
        msg[2 + 3] = head[1];
        msg[2 + 7] = head[2];
        rmr_store_be16(msg, (uint16_t)(len - 2 + n));
    } else {
        len = 0;
    }
    memcpy(msg + len, take(p, left, n), n);
    len += n;
    size_t cut = head[4] >> 1 < len ? head[4] >> 1 : len;
    (void)rmr_dns_read_stream(w->d, w->now, w->stream, rmr_bytes_of(msg, cut));
    (void)rmr_dns_read_stream(w->d, w->now, w->stream,
                              rmr_bytes_of(msg + cut, len - cut));
}

static void stream_op(world *w, uint8_t what, const uint8_t **p, size_t *left)
{
    if (what < 12)
        open_stream(w);
    else if (what < 28)
        stream_bytes(w, p, left);
    else
        rmr_dns_end_stream(w->d, w->now, w->stream);
}

static void run(world *w, const uint8_t *p, size_t left)
{
    while (left) {
        uint8_t op = *take(&p, &left, 1);
        switch (op & 7) {
        case 0:
            ask(w, op >> 3);
            break;
        case 1:
            send_one(w);
            break;
        case 2:
            if (op >> 3 == 0)
                send_one(w);
            else
                stream_op(w, op >> 3, &p, &left);
            break;
        case 3:
        case 4:
            reply(w, &p, &left);
            break;
        case 5: {
            size_t n = *take(&p, &left, 1);
            (void)rmr_dns_read_pkt(w->d, w->now, &w->last_to,
                                   rmr_bytes_of(take(&p, &left, n), n));
            break;
        }
        case 6:
            w->now += (rmr_dur)(op >> 3) * 100 * RMR_MS;
            need(rmr_dns_handle_deadline(w->d, w->now) == RMR_OK);
            need(rmr_dns_next_deadline(w->d) > w->now);
            break;
        default:
            rmr_dns_cancel(w->d, op >> 3);
            w->open &= ~((uint64_t)1 << (op >> 3));
        }
    }
}

static void check_text(rmr_bytes text)
{
    rmr_addr a[4];
    rmri_dns_name n, m;
    need(rmri_dns_find_host(text, rmr_bytes_str("host"), a, 4) <= 4);
    size_t at = 0;
    if (rmri_dns_name_of(text, rmr_bytes_of(NULL, 0), &n) != RMR_OK)
        return;
    need(rmri_dns_read_name(rmr_bytes_of(n.wire, n.len), &at, &m));
    need(at == n.len && rmri_dns_name_eq(&n, &m));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    test_alloc mem;
    test_rng rng;
    world w;
    memset(&mem, 0, sizeof mem);
    memset(&w, 0, sizeof w);
    check_text(rmr_bytes_of(data, size));
    if (size < 1)
        return 0;
    test_rng_seed(&rng, 1);
    rmr_env env = test_env(&mem, &rng, NULL);
    rmr_dns_config cfg = {8, 0, 0, {&w, on_answer}, true};
    need(rmr_dns_new(&w.d, &env, &cfg) == RMR_OK);
    rmr_addr servers[2];
    servers[0] = rmr_addr_v4(192, 0, 2, 1, 53);
    servers[1] = rmr_addr_v4(192, 0, 2, 2, 53);
    mem.fail_at = data[0] >> 4;
    (void)rmr_dns_set_servers(w.d, servers, 1 + (data[0] & 1),
                              rmr_bytes_str("10.0.0.9 host"),
                              rmr_bytes_str(data[0] & 2 ? "x.example" : ""));
    run(&w, data + 1, size - 1);
    for (int i = 0; i < 40; i++) {
        w.now += 2 * RMR_SEC;
        need(rmr_dns_handle_deadline(w.d, w.now) == RMR_OK);
    }
    need(w.open == 0 && rmr_dns_is_idle(w.d));
    need(rmr_dns_next_deadline(w.d) == RMR_TIME_NEVER);
    rmr_dns_free(w.d);
    need(mem.live_blocks == 0);
    return 0;
}
