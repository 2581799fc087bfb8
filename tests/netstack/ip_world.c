#include "ip_world.h"

const uint8_t ipw_me4[16] = {10, 0, 0, 1}, ipw_you4[16] = {10, 0, 0, 2};
const uint8_t ipw_me6[16] = {0xfd, [15] = 1}, ipw_you6[16] = {0xfd, [15] = 2};

static void on_datagram(void *user, void *tag, rmr_ns_sock s,
                        const rmr_addr *from, const rmr_addr *to,
                        rmr_bytes data)
{
    world *w = user;
    (void)s;
    assert_ptr_equal(tag, w);
    w->dgrams++;
    w->from = *from;
    w->to = *to;
    w->len = data.len;
    w->tos = rmr_ns_datagram_tos(w->ns);
    assert_true(data.len <= sizeof w->data);
    if (data.len)
        memcpy(w->data, data.ptr, data.len);
}

static void on_pong(void *user, const rmr_addr *from, uint16_t id, uint16_t seq,
                    rmr_bytes payload)
{
    world *w = user;
    w->pongs++;
    assert_int_equal(id, 7);
    assert_int_equal(seq, 9);
    w->from = *from;
    w->len = payload.len;
}

int ipw_setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    rmr_ns_config cfg;
    rmr_ns_callbacks cb = {0};
    test_rng_seed(&w->rng, 3);
    rmr_env env = test_env(&w->alloc, &w->rng, NULL);
    w->now = 50 * RMR_SEC;
    cb.struct_size = sizeof cb;
    cb.user = w;
    cb.on_datagram = on_datagram;
    cb.on_pong = on_pong;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &cb;
    assert_int_equal(rmr_ns_new(&w->ns, &env, &cfg, w->now), RMR_OK);
    rmr_addr a = rmr_addr_from_bytes(rmr_bytes_of(ipw_me4, 4), 0);
    assert_int_equal(rmr_ns_addr_add(w->ns, &a), RMR_OK);
    a = rmr_addr_from_bytes(rmr_bytes_of(ipw_me6, 16), 0);
    assert_int_equal(rmr_ns_addr_add(w->ns, &a), RMR_OK);
    rmr_addr any;
    memset(&any, 0, sizeof any);
    any.port = 53;
    assert_int_equal(rmr_ns_udp_bind(w->ns, &any, w, &w->udp), RMR_OK);
    *state = w;
    return 0;
}

int ipw_teardown(void **state)
{
    world *w = *state;
    return pkt_end(w, w->ns, &w->alloc);
}

/* ---- building --------------------------------------------------------- */

void ipw_sum4(uint8_t *p)
{
    p[10] = p[11] = 0;
    rmri_ns_sum_store(p + 10, rmri_ns_sum(0, p, (p[0] & 15u) * 4u));
}

size_t ipw_ip4(uint8_t *p, uint8_t proto, const uint8_t *pl, size_t n)
{
    memset(p, 0, 20);
    p[0] = 0x45;
    rmr_store_be16(p + 2, (uint16_t)(20 + n));
    p[8] = 64;
    p[9] = proto;
    memcpy(p + 12, ipw_you4, 4);
    memcpy(p + 16, ipw_me4, 4);
    if (n)
        memcpy(p + 20, pl, n);
    ipw_sum4(p);
    return 20 + n;
}

size_t ipw_ip6(uint8_t *p, uint8_t next, const uint8_t *pl, size_t n)
{
    rmr_store_be32(p, 0x60000000);
    rmr_store_be16(p + 4, (uint16_t)n);
    p[6] = next;
    p[7] = 64;
    memcpy(p + 8, ipw_you6, 16);
    memcpy(p + 24, ipw_me6, 16);
    if (n)
        memcpy(p + 40, pl, n);
    return 40 + n;
}

uint64_t ipw_pseudo(int family, uint8_t proto, size_t n)
{
    ns_ip a, b;
    memcpy(a.b, family == 4 ? ipw_you4 : ipw_you6, 16);
    memcpy(b.b, family == 4 ? ipw_me4 : ipw_me6, 16);
    return rmri_ns_sum_pseudo((uint8_t)family, &a, &b, proto, n);
}

size_t ipw_udp(uint8_t *p, int family, uint16_t port, const void *data,
               size_t n)
{
    rmr_store_be16(p, 5000);
    rmr_store_be16(p + 2, port);
    rmr_store_be16(p + 4, (uint16_t)(8 + n));
    rmr_store_be16(p + 6, 0);
    memcpy(p + 8, data, n);
    rmri_ns_sum_store(p + 6,
                      rmri_ns_sum(ipw_pseudo(family, 17, 8 + n), p, 8 + n));
    return 8 + n;
}

size_t ipw_echo(uint8_t *p, int family, bool reply, size_t n)
{
    memset(p, 0, 8);
    p[0] = family == 4 ? (reply ? 0 : 8) : (reply ? 129 : 128);
    rmr_store_be16(p + 4, 7);
    rmr_store_be16(p + 6, 9);
    for (size_t i = 0; i < n; i++)
        p[8 + i] = (uint8_t)(i * 3);
    uint64_t acc = family == 4 ? 0 : ipw_pseudo(6, 58, 8 + n);
    rmri_ns_sum_store(p + 2, rmri_ns_sum(acc, p, 8 + n));
    return 8 + n;
}

/* ---- packets in and out ----------------------------------------------- */

rmr_err ipw_feed(world *w, const uint8_t *p, size_t n)
{
    return pkt_feed(w->ns, w->now, p, n);
}

bool ipw_take(world *w)
{
    w->out_len = pkt_take(w->ns, w->now, w->out, sizeof w->out);
    return w->out_len != 0;
}

void ipw_expect_problem(world *w, uint8_t code, uint32_t pointer)
{
    assert_true(ipw_take(w));
    assert_int_equal(w->out[40], 4);
    assert_int_equal(w->out[41], code);
    assert_int_equal(rmr_load_be32(w->out + 44), pointer);
    w->now += RMR_SEC;
}
