/* One busy world of the simulator alone, and its digest: tests/sim/determinism
 * builds this in four ways and compares. */
#include "toy.h"

#include <stdio.h>
#include <stdlib.h>

static rmr_addr outsides[2];

static rmr_sim_net home(bench *b, int i, const char *outside)
{
    rmr_sim_gate_config g;
    rmr_sim_net net;
    rmr_sim_gate_config_init(&g, sizeof g);
    outsides[i] = addr(outside);
    g.nat = true;
    g.outside = &outsides[i];
    g.n_outside = 1;
    g.mapping =
        i ? RMR_SIM_ADDRESS_AND_PORT_DEPENDENT : RMR_SIM_ENDPOINT_INDEPENDENT;
    g.filtering = RMR_SIM_ADDRESS_AND_PORT_DEPENDENT;
    g.ports = RMR_SIM_PORTS_RANDOM;
    if (rmr_sim_link_parse(&g.up,
                           "rate=10mbit,queue=64k,delay=7ms,jitter=3ms,loss=2%,"
                           "dup=1%,hold=1%/5ms,burst=0.5%/20%/60%",
                           NULL) != RMR_OK ||
        rmr_sim_net_new(b->sim, RMR_SIM_INTERNET, &g, &net) != RMR_OK)
        abort();
    return net;
}

static void reboot(void *user, rmr_sim *s)
{
    (void)rmr_sim_gate_reboot(s, *(const rmr_sim_net *)user);
}

int main(void)
{
    static toy in[2], server;
    static uint8_t data[2048];
    bench b;
    bench_init(&b, 42);
    rmr_sim_net nets[2] = {home(&b, 0, "203.0.113.1"),
                           home(&b, 1, "203.0.113.2")};
    bench_host(&b, &in[0], nets[0], "192.168.1.2", RMR_MS);
    bench_host(&b, &in[1], nets[1], "192.168.1.2", RMR_MS);
    bench_host(&b, &server, RMR_SIM_INTERNET, "198.51.100.1", 9 * RMR_MS);
    server.echoes = server.credits = true;
    toy_open(&server, 1, addr("0.0.0.0:3478"));
    toy_listen(&server, 2, addr("0.0.0.0:443"));
    for (int i = 0; i < 2; i++) {
        in[i].credits = true;
        toy_open(&in[i], 1, addr("0.0.0.0:0"));
        toy_connect(&in[i], 2, addr("198.51.100.1:443"), 0);
    }
    (void)rmr_sim_at(b.sim, 3 * RMR_SEC, reboot, &nets[1]);
    for (int k = 0; k < 400; k++) {
        for (int i = 0; i < 2; i++) {
            toy_send(&in[i], 1, addr("198.51.100.1:3478"), "a datagram");
            toy_write(&in[i], 2, data, rmr_sim_random(b.sim, sizeof data));
        }
        toy_run(&server, 25 * RMR_MS);
        in[0].n_heard = in[1].n_heard = server.n_heard = 0;
    }
    toy_run(&server, 60 * RMR_SEC);
    (void)printf("%016llx\n", (unsigned long long)rmr_sim_hash(b.sim));
    bench_free(&b);
    return 0;
}
