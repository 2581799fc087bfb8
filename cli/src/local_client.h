/*
 * A blocking client of a running node's local endpoint (docs/local-api.md).
 */
#ifndef CLI_LOCAL_CLIENT_H
#define CLI_LOCAL_CLIENT_H

#include <remora/base.h>
#include <remora/json.h>

#define CLI_LOCAL_NAME "remora.sock"

typedef struct cli_local {
    int fd; /* -1: not open */
    uint8_t *buf;
    size_t cap, start, end; /* read, and not given out: start to end */
    bool in_dir; /* the state directory exists, and is the working directory */
} cli_local;

/** Connects to the node whose state is in `state_dir` (NULL: the default), and
 *  makes that the working directory: a socket's name is short, a path may be
 *  too long for it.  False: it has complained. */
bool cli_local_open(cli_local *c, const char *state_dir);
typedef enum cli_found {
    CLI_FOUND,
    CLI_FOUND_NONE,  /* no node runs there; not complained about */
    CLI_FOUND_FAILED /* it has complained */
} cli_found;

/** As cli_local_open, for those that can do without a node.  See
 *  in_dir. */
cli_found cli_local_find(cli_local *c, const char *state_dir);
/** The node agreed to end: waits until it has, which the end of the connection
 *  tells.  False: it has complained. */
bool cli_local_wait_end(cli_local *c);
void cli_local_close(cli_local *c);

/** Sends one request line.  False: it has complained. */
bool cli_local_send(cli_local *c, const rmr_jw *request);

typedef enum cli_line {
    CLI_LINE,       /* a line; borrowed until the next call           */
    CLI_LINE_END,   /* the node closed the connection                 */
    CLI_LINE_FAILED /* it has complained, also for {"error":...} lines */
} cli_line;

/** The next line, whole; a line of {"error":"..."} is complained about. */
cli_line cli_local_line(cli_local *c, rmr_bytes *line);
/** Asks {"op": op} and reads the first line of the answer. */
cli_line cli_local_request(cli_local *c, const char *op, rmr_bytes *line);
/** Connects, asks {"op": op} and reads the first line of the answer.  To be
 *  closed in any case. */
cli_line cli_local_ask(cli_local *c, const char *state_dir, const char *op,
                       rmr_bytes *line);
/** What reading a line came to: does the node agree ({"ok":true})?  False: it has
 *  complained. */
bool cli_local_agreed(cli_line got, rmr_bytes line);
/** The one line of an answer, indented where `json`, else by `print`.  False: it
 *  has complained. */
bool cli_local_show(cli_line got, rmr_bytes line, bool json,
                    bool (*print)(rmr_bytes json));
/** Bytes that came behind the last line. */
rmr_bytes cli_local_rest(const cli_local *c);

#endif
