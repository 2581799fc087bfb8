/*
 * What a machine asked for and what it was told, as text that is the same on
 * every adapter: a line an operation ("> send 2 hello") and a line an event
 * ("< bytes @1 hello").
 *
 * What may differ is taken out.  Times are not told.  Ports and accepted streams
 * get names in the order in which they first appear: $1, @1.  Events of one step
 * are in the order of their ids, and within an id in the order in which they
 * came; a stream's bytes are joined, a run of datagrams is cut into its
 * datagrams.  WALL, LINKS, BLOCKED and WRITABLE are the host's business and left
 * out.
 */
#ifndef REMORA_TEST_TRACE_H
#define REMORA_TEST_TRACE_H

#include <remora/io.h>

#define TRACE_NAMES 32
#define TRACE_EVENTS 512
#define TRACE_TEXT 8192 /* of a step */

typedef struct trace_event {
    rmr_io_event ev;
    uint8_t *data; /* ev.data's, a copy */
    size_t len;
    bool is_deadline;
} trace_event;

typedef struct trace_names {
    uint16_t ports[TRACE_NAMES];
    uint64_t children[TRACE_NAMES];
    size_t n_ports, n_children;
} trace_names;

typedef struct trace {
    rmr_machine m; /* the one that is watched */
    trace_names names;
    trace_event events[TRACE_EVENTS];
    size_t n_events;
    char ops[TRACE_TEXT]; /* of this step */
    size_t ops_len;
    char text[TRACE_TEXT]; /* see trace_step */
} trace;

/* A machine that is `m`, watched.  `t` is zero, or was wiped. */
rmr_machine trace_around(trace *t, const rmr_machine *m);
void trace_wipe(trace *t);

/* The step until now: its operations, then its events.  `is_end`: the next one
 * begins, and the names that it gave are kept. */
const char *trace_step(trace *t, bool is_end);
/* What a name stands for; 0: nothing yet. */
uint16_t trace_port(const trace *t, size_t name);
uint64_t trace_child(const trace *t, size_t name);

#endif
