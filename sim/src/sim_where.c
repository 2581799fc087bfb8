/* Whose an address is: a table over all nets, so that a packet's way costs the
 * same among ten hosts and among ten thousand. */
#include "sim_internal.h"

#include <string.h>

static uint64_t key_of(const rmr_addr *ip)
{
    uint8_t b[1 + sizeof ip->ip] = {ip->family};
    memcpy(b + 1, ip->ip, ip->family == RMR_AF_INET ? 4 : sizeof ip->ip);
    return rmri_sim_digest(rmr_bytes_of(b, sizeof b));
}

/* An address is of one host or one gate alone; of which says the last bit. */
void rmri_sim_where_put(rmr_sim *s, rmr_sim_net net, const rmr_addr *addrs,
                        size_t n, uint32_t number, bool is_gate)
{
    for (size_t i = 0; i < n; i++)
        if (!rmri_sim_map_put(&s->by_addr, &s->c.alloc, key_of(&addrs[i]), net,
                              (uint64_t)number << 1 | is_gate))
            rmri_sim_fail(s);
}

void rmri_sim_where_del(rmr_sim *s, rmr_sim_net net, const rmr_addr *addrs,
                        size_t n)
{
    for (size_t i = 0; i < n; i++)
        rmri_sim_map_del(&s->by_addr, key_of(&addrs[i]), net);
}

rmr_sim_host rmri_sim_in_net(const rmr_sim *s, rmr_sim_net net,
                             const rmr_addr *ip)
{
    uint64_t v = rmri_sim_map_get(&s->by_addr, key_of(ip), net);
    return v & 1 ? 0 : (rmr_sim_host)(v >> 1);
}

rmr_sim_net rmri_sim_gate_at(const rmr_sim *s, rmr_sim_net outer,
                             const rmr_addr *ip)
{
    uint64_t v = rmri_sim_map_get(&s->by_addr, key_of(ip), outer);
    return v & 1 ? (rmr_sim_net)(v >> 1) : 0;
}
