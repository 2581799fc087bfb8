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
    rmr_time now, lines_until; /* when lines about logins made up for room */
    uint64_t left_out;         /* such lines */
    unsigned socket_mode;
    const char *socket; /* its path, which gets that mode */
} cli_coord_events;

/** Retains `e`. */
rmr_coord_callbacks cli_coord_events_callbacks(cli_coord_events *e);
/** Each turn.  Anybody can ask to be let in, as often as it likes: 60 lines at
 *  once and one a second tell of it, and one how many were left out. */
void cli_coord_events_turn(cli_coord_events *e, rmr_time now);

/** The files were read anew.
 *  \param ok  All of them were taken. */
void cli_coord_events_reloaded(const cli_coord_events *e, bool ok);

#endif
