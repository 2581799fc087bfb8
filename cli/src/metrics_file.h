/*
 * The metrics of a running node as a text file, for a collector that reads a
 * directory.
 */
#ifndef CLI_METRICS_FILE_H
#define CLI_METRICS_FILE_H

#include <remora/node.h>

#define CLI_METRICS_EVERY (15 * RMR_SEC)

typedef struct cli_metrics_file {
    const char *path; /* NULL: off */
    rmr_time due;     /* 0: at once */
    bool complained;
} cli_metrics_file;

/** How long until it is due; RMR_TIME_NEVER where it is off. */
rmr_dur cli_metrics_file_wait(const cli_metrics_file *f, rmr_time now);
/** Writes it where it is due, atomically; complains once where it can't. */
void cli_metrics_file_tick(cli_metrics_file *f, const rmr_node *n,
                           rmr_time now);
/** The node has ended: the file says so, and is not written again. */
void cli_metrics_file_end(cli_metrics_file *f);

/** What there is to say of a node that does not answer. */
const char *cli_metrics_down(void);

#endif
