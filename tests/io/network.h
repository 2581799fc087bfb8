/* The host's network changes under an adapter: one file for real hosts, one for
 * the simulator. */
#ifndef REMORA_TEST_NETWORK_H
#define REMORA_TEST_NETWORK_H

#include "adapter.h"

/* Before any adapter is made. */
void network_begin(void);
/* Now the host has 192.0.2.x alone. */
void network_move(adapter *a, uint8_t x);

#endif
