/* The simulated host's network. */
#include "network.h"

#include <stdlib.h>

#include "adapter_sim.h"

void network_begin(void)
{
}

void network_move(adapter *a, uint8_t x)
{
    rmr_addr to = rmr_addr_v4(192, 0, 2, x, 0);
    if (rmr_sim_host_move(adapter_sim_world(a), adapter_sim_host(a),
                          RMR_SIM_INTERNET, &to, 1) != RMR_OK)
        abort();
}
