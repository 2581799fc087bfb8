/*
 * What `remora up` says while it runs, as lines of JSON or to a person.
 */
#ifndef CLI_UP_EVENTS_H
#define CLI_UP_EVENTS_H

#include <remora/node.h>

typedef struct cli_up_events {
    bool json;
    unsigned told; /* how many events */
    bool failed; /* it has given up, and stderr holds the sentence */
    char trouble[512]; /* what a person was last told, so as not to repeat it */
} cli_up_events;

/** The node's on_event. */
void cli_up_event(void *user, const rmr_node_event *ev);
/** It has ended as asked. */
void cli_up_stopped(const cli_up_events *e);

#endif
