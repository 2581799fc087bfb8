/* What the files of the pair share. */
#ifndef REMORA_NODE_PAIR_INTERNAL_H
#define REMORA_NODE_PAIR_INTERNAL_H

#include "pair.h"

/* pair.c */
void pairi_give(pair *p, int i, rmr_io_event *ev);
void *pairi_grown(void *old, size_t size);
void pairi_tell(pair *p, int i, rmr_io_event_kind kind, uint64_t id,
                rmr_err err);

/* pair_relay.c */
void pairi_break_from(pair_conn *c, int side);
void pairi_conn_free(pair_conn *c);
pair_conn *pairi_conn_new(pair *p);
void pairi_pipe_drop(pair_pipe *p, size_t n);
void pairi_pipe_put(pair_pipe *p, const void *data, size_t len);
size_t pairi_pipe_room(const pair_pipe *p);
bool pairi_relay_run(pair *p, pair_conn *c);

/* pair_udp.c */
pair_socket *pairi_socket_of(pair *p, int node, uint64_t id);
bool pairi_step_datagram(pair *p);
void pairi_udp_open(pair *p, int i, const rmr_io_op *op);
void pairi_udp_send(pair *p, int i, const rmr_io_op *op);

#endif
