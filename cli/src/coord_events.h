/*
 * What the coordination server tells: on stdout as lines for people or of
 * JSON, trouble on stderr.
 */
#ifndef CLI_COORD_EVENTS_H
#define CLI_COORD_EVENTS_H

#include <remora/coord.h>

typedef struct cli_coord_events {
    bool json;
    bool failed; /* it gave up, and has said so */
    unsigned socket_mode;
    const char *socket; /* its path, which gets that mode */
} cli_coord_events;

/** Retains `e`. */
rmr_coord_callbacks cli_coord_events_callbacks(cli_coord_events *e);

/** The files were read anew.
 *  \param ok  All of them were taken. */
void cli_coord_events_reloaded(const cli_coord_events *e, bool ok);

#endif
