/* What is below the simulator's adapter. */
#ifndef REMORA_TEST_ADAPTER_SIM_H
#define REMORA_TEST_ADAPTER_SIM_H

#include "adapter.h"

#include <remora/sim.h>

rmr_sim *adapter_sim_world(const adapter *a);
rmr_sim_host adapter_sim_host(const adapter *a);

#endif
