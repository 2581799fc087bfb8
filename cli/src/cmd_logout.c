/* remora logout */
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "local_client.h"
#include "own_logout.h"
#include "print.h"

#define STATE_NAME "remora.state"

/* The node ends when it has logged out. */
static bool by_node(cli_local *c)
{
    rmr_bytes line;
    cli_line got = cli_local_request(c, "logout", &line);
    return cli_local_agreed(got, line) && cli_local_wait_end(c);
}

static bool by_itself(cli_own_logout *own, bool in_dir)
{
    if (!in_dir || access(STATE_NAME, F_OK) != 0) {
        cli_complain("no node runs, and there is no state of one that could be "
                     "logged out: name it with --state-dir DIR");
        return false;
    }
    return cli_own_logout_run(own);
}

int cli_logout(const cli_args *a)
{
    cli_own_logout own;
    cli_local c;
    bool ok = false;
    memset(&c, 0, sizeof c);
    c.fd = -1;
    /* Files first: looking for the node changes the working directory. */
    if (cli_own_logout_prepare(&own, a)) {
        cli_found found = cli_local_find(&c, a->state_dir);
        if (found == CLI_FOUND) {
            ok = by_node(&c);
        } else if (found == CLI_FOUND_NONE) {
            ok = by_itself(&own, c.in_dir);
        }
    }
    cli_local_close(&c);
    cli_own_logout_free(&own);
    return ok ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}
