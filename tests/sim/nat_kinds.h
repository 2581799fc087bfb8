/* The twelve kinds of access that the table of docs/nat.md pairs, and what
 * theory says of each pair. */
#ifndef REMORA_TEST_SIM_NAT_KINDS_H
#define REMORA_TEST_SIM_NAT_KINDS_H

#include "world.h"

#define NAT_KINDS 12

typedef struct nat_kind {
    const char *name, *what;
    bool nat, firewall, blocked, twice, v6;
    rmr_sim_dependence mapping, filtering;
    rmr_sim_ports ports;
} nat_kind;

extern const nat_kind nat_kinds[NAT_KINDS];

typedef enum nat_theory {
    NAT_RELAY,  /* no way but the relay       */
    NAT_DIRECT, /* ordinary discovery finds it */
    NAT_PUNCH   /* only by birthday punching  */
} nat_theory;

nat_theory nat_theory_of(const nat_kind *a, const nat_kind *b);
/* A node of that kind; i: 0 or 1. */
world_node *nat_node(world *w, const nat_kind *k, int i);

#endif
