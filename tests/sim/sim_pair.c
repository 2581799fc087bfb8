#include "sim_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <string.h>

/* Of a connection, in flight: at 84 ms there and back some 400 KB/s, so that a
 * transfer of a minute is cheap, and no queue is ever full. */
#define BUFFER ((size_t)32 * 1024)

static const char *const inner_ip[2] = {"192.168.1.2", "192.168.2.2"};
static const char *const inner_ip6[2] = {"2001:db8:1::2", "2001:db8:2::2"};

void pair_init(pair *p, uint64_t seed, rmr_sim_gate_config gates[2])
{
    world_init(&p->w, seed, 2);
    p->w.tcp_buffer = BUFFER;
    p->w.configure = p->configure;
    world_node *n[2];
    for (int i = 0; i < 2; i++) {
        rmr_addr outside = rmr_addr_v4(198, 51, 100, (uint8_t)(10 * i + 1), 0);
        gates[i].outside = &outside;
        gates[i].n_outside = gates[i].nat;
        gates[i].inside = rmr_addr_v4(192, 168, (uint8_t)(i + 1), 1, 0);
        gates[i].up.delay = gates[i].down.delay = 10 * RMR_MS;
        p->home[i] = world_net(&p->w, RMR_SIM_INTERNET, &gates[i]);
        n[i] = world_node_add(&p->w, p->home[i], inner_ip[i],
                              p->has_ipv6 ? inner_ip6[i] : NULL);
    }
    p->a = n[0];
    p->b = n[1];
}

void pair_easy(rmr_sim_gate_config g[2])
{
    for (int i = 0; i < 2; i++) {
        rmr_sim_gate_config_init(&g[i], sizeof g[i]);
        g[i].nat = true;
        g[i].filtering = RMR_SIM_ADDRESS_AND_PORT_DEPENDENT;
    }
}

void pair_begin(pair *p, uint64_t seed, uint64_t bytes)
{
    rmr_sim_gate_config g[2];
    pair_easy(g);
    pair_init(p, seed, g);
    assert_true(world_all_run(&p->w, 30 * RMR_SEC));
    world_run(&p->w, 10 * RMR_SEC);
    world_dial(p->a, p->b);
    world_send(p->a, 1000);
    world_run(&p->w, 5 * RMR_SEC);
    assert_true(world_is_direct(p->a, p->b));
    world_send(p->a, bytes);
    world_run(&p->w, RMR_SEC);
    assert_true(p->a->sends_left);
}

typedef struct was {
    const pair *p;
    uint64_t sent;
} was;

static bool has_more(void *user)
{
    const was *x = user; /* its buffer is full but for what is acknowledged */
    return x->p->a->sent > x->sent;
}

static bool are_direct(void *user)
{
    const was *x = user;
    return world_is_direct(x->p->a, x->p->b) &&
           world_is_direct(x->p->b, x->p->a);
}

static rmr_dur until(pair *p, rmr_dur most, bool (*holds)(void *user))
{
    was x = {p, p->a->sent};
    rmr_time start = rmr_sim_now(p->w.sim);
    (void)rmr_sim_run_until(p->w.sim, start + most, holds, &x);
    return rmr_sim_now(p->w.sim) - start;
}

rmr_dur pair_silence(pair *p, rmr_dur most)
{
    return until(p, most, has_more);
}

rmr_dur pair_until_direct(pair *p, rmr_dur most)
{
    return until(p, most, are_direct);
}

void pair_stop(pair *p)
{
    p->a->sends_left = 0;
    pair_end(p);
}

void pair_end(pair *p)
{
    for (int i = 0; i < 200 && !world_arrived(p->a, p->b); i++)
        world_run(&p->w, RMR_SEC);
    assert_true(world_arrived(p->a, p->b));
    assert_false(p->a->is_closed || p->b->is_closed);
    world_free(&p->w);
}
