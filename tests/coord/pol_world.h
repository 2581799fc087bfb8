/* A small tailnet from tests/vectors/coord, and answers as JSON. */
#ifndef REMORA_TEST_POL_WORLD_H
#define REMORA_TEST_POL_WORLD_H

#include <remora/policy.h>

#include <jansson.h>

#include "support.h"

typedef struct pol_world {
    json_t *doc; /* policy-cases.json: users, nodes, cases */
    test_alloc heap;
    rmr_alloc alloc; /* of that */
    rmr_pol_net *net;
} pol_world;

json_t *pol_vectors(const char *name);
/* The users and nodes; r1's exit routes approved or not. */
void pol_world_new(pol_world *w, bool exit);
/* All must have been given back. */
void pol_world_free(pol_world *w);
/* Parses, which must succeed, and puts in force. */
void pol_world_set(pol_world *w, const char *policy);
uint64_t pol_world_id(const pol_world *w, const char *node);
/* Puts one node of the vectors, or one given as text. */
void pol_put(pol_world *w, const json_t *node, bool exit);
void pol_put_text(pol_world *w, const char *node);

/* Answers; node NULL: of the tailnet. */
json_t *pol_filter(pol_world *w, const char *node);
json_t *pol_ssh_of(pol_world *w, const char *node);
/* {"peer":["route", ...]}: the routes beside its own addresses. */
json_t *pol_peers(pol_world *w, const char *node);
/* Of any net, by the node's id: its filter as text; its peers as bits, as both
 * ways of asking say; a callback that gathers such bits. */
size_t pol_filter_text(rmr_pol_net *net, uint64_t id, char *buf, size_t cap);
uint32_t pol_peer_bits(rmr_pol_net *net, uint64_t id);
bool pol_note_peer(void *user, uint64_t id);
/* Equal, or both are printed and the test fails. */
void pol_expect(const char *what, json_t *got, const json_t *want);
/* got against text; both are let go. */
void pol_expect_text(const char *what, json_t *got, const char *want);

#endif
