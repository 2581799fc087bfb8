/* A small adapter for tests of the node: blobs in memory, every socket opens
 * unless told otherwise, and every operation is written down. */
#ifndef REMORA_NODE_LAB_H
#define REMORA_NODE_LAB_H

#include "support.h"

#include <remora/io.h>
#include <remora/node.h>

#define LAB_BLOBS 4
#define LAB_STATE "remora.state" /* names of blobs */
#define LAB_CACHE "netmap.cache"

/* A peer's JSON: its id is a digit, which its key and address end in. */
#define LAB_PEER(id, stable, name)                                             \
    "{\"ID\":" id ",\"StableID\":\"" stable "\",\"Name\":\"" name              \
    ".ex.com.\","                                                              \
    "\"Key\":\"nodekey:"                                                       \
    "222222222222222222222222222222222222222222222222222222222222222" id       \
    "\",\"Addresses\":[\"100.64.0." id "/32\"],\"AllowedIPs\":[\"100.64.0." id \
    "/32\",\"0.0.0.0/0\",\"::/0\"],\"MachineAuthorized\":true}"

typedef struct lab_blob {
    char name[64];
    uint8_t *data;
    size_t len;
    uint64_t store_id; /* parts are still coming, into: */
    uint8_t *fresh;
    size_t fresh_len;
    bool there;
} lab_blob;

typedef struct lab {
    test_alloc alloc;
    test_rng rng;
    test_log log;
    rmr_env env;
    rmr_node *node;
    rmr_machine m;
    rmr_time now;
    lab_blob blobs[LAB_BLOBS];
    /* The process dies at this part of a STORE, counted from 1; 0: never. */
    size_t cut_at;
    bool cut_after; /* ... behind the rename, with its last part */
    size_t parts;
    bool late_stores; /* each is done when the node has nothing else to do */
    struct lab_late {
        rmr_io_op op; /* data and name: copies */
    } late[8];
    size_t n_late;
    bool is_cut; /* no operation is done any more */
    rmr_err load_err, store_err, listen_err, udp_err;
    bool hold_cache; /* the cached netmap is not given yet; asked for under: */
    uint64_t held_id;
    void (*on_send)(struct lab *l, const rmr_io_op *op); /* UDP_SEND */
    /* Streams; NULL: each is refused. */
    void (*on_stream)(struct lab *l, const rmr_io_op *op);
    void *user; /* of the test */
    rmr_err icmp_err;
    uint64_t icmp_ids[2]; /* v4, v6; 0: not asked for */
    uint8_t scratch[RMR_IO_SCRATCH_MIN];
    /* what was seen */
    size_t ops, connects, stores;
    rmr_addr last_connect;
    bool stopped;
    rmr_err stop_err;
    int failed_events, running_events;
    bool from_cache; /* the last running event */
    rmr_err failed_err;
    char failed_text[512];
} lab;

void lab_init(lab *l);
void lab_free(lab *l);
/* The same, for a teardown: 0, or -1 where memory was not given back. */
int lab_end(lab *l);
/* With the lab's callbacks; the config may be changed before. */
void lab_config(lab *l, rmr_node_config *cfg);
rmr_err lab_start(lab *l, rmr_node_config *cfg);
/* The same, which must go well. */
void lab_begin(lab *l, rmr_node_config *cfg);
/* Runs until the node wants nothing more at this instant. */
void lab_turn(lab *l);
/* Lets time pass by the node's own deadlines. */
void lab_run(lab *l, rmr_dur d);
/* A frame of the netmap, as the control client would feed it.  No turn. */
void lab_feed(lab *l, const char *json);
/* The first one of a stream, and a turn. */
void lab_feed_first(lab *l, const char *json);
/* An event for the node, without a turn. */
void lab_event(lab *l, rmr_io_event *ev);
/* Datagrams for an object of the node's. */
void lab_datagram(lab *l, uint64_t id, const rmr_addr *from, rmr_buf data);
/* Starts anew with the blobs that there are. */
void lab_restart(lab *l);
/* ... and a config that leaves what it can to the state. */
void lab_again(lab *l, rmr_node_config *cfg);
/* Stops it in order. */
void lab_stop(lab *l);
lab_blob *lab_blob_get(lab *l, const char *name);
/* Another LAB_STATE, or the first one. */
void lab_state(lab *l, const void *data, size_t len);
/* One of tests/vectors/node.  \return its length. */
size_t lab_vector(const char *name, uint8_t *dst, size_t cap);

#endif
