/* remora down */
#include "commands.h"
#include "local_client.h"

int cli_down(const cli_args *a)
{
    cli_local c;
    rmr_bytes line;
    cli_line got = cli_local_ask(&c, a->state_dir, "down", &line);
    bool ok = cli_local_agreed(got, line) && cli_local_wait_end(&c);
    cli_local_close(&c);
    return ok ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}
