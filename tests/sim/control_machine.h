/* A control server as a machine: the scripted one of tests/control on every
 * connection, with a netmap that follows what the nodes say of themselves. */
#ifndef REMORA_TEST_SIM_CONTROL_MACHINE_H
#define REMORA_TEST_SIM_CONTROL_MACHINE_H

#include <remora/io.h>

#define CM_NODES 64
#define CM_TEXT 4096

typedef struct control_machine control_machine;

/* \param derp_map  JSON of the DERPMap.  Nodes get 100.64.0.1 and so on, in the
 * order in which their host names sort them: "n0" is the first. */
control_machine *control_machine_new(const char *derp_map);
void control_machine_free(control_machine *c);
/* Where it listens, before it runs: port 80 of any address; and the port that it
 * got, 0: none yet. */
void control_machine_listen(control_machine *c, rmr_addr at);
uint16_t control_machine_port(const control_machine *c);
/* The DERPMap is another one; all nodes are told. */
void control_machine_derp_map(control_machine *c, const char *derp_map);
/* Routes that a node offers are approved, unless this says otherwise; its peers
 * are told.  The machine must be poked then. */
void control_machine_approve(control_machine *c, int node, bool yes);
/* Node i's key ends at this Unix time, in ns, and it is told so; another key of
 * it has no end.  0: never. */
void control_machine_key_end(control_machine *c, int i, uint64_t unix_ns);
/* Who registers must log in by a URL, until this is taken back. */
void control_machine_login(control_machine *c, bool is_wanted);
/* Every key of node i ends then, also those that it makes from now on; 0: none
 * does. */
void control_machine_keys_end(control_machine *c, int i, uint64_t unix_ns);
/* How many node keys it has polled with. */
int control_machine_keys(const control_machine *c, int i);
/* The node key that it polled with last, as 64 digits. */
const char *control_machine_key(const control_machine *c, int i);
/* Every whole map has so many peers more that are no hosts: those of churn. */
void control_machine_fill(control_machine *c, int n);
rmr_machine control_machine_machine(control_machine *c);

/* Tells all nodes of peers that are no hosts, numbers from and on: they come
 * (or change), or go.  The machine has more to do then. */
void control_machine_churn(control_machine *c, int from, int n, bool come);

#endif
