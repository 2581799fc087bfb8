/* remora debug */
#include <stdio.h>

#include "commands.h"
#include "local_client.h"
#include "print.h"
#include "status_json.h"

int cli_debug(const cli_args *a)
{
    cli_local c;
    rmr_bytes line;
    int code = CLI_EXIT_FAILED;
    cli_line got = cli_local_ask(&c, a->state_dir, a->subject, &line);

    if (got == CLI_LINE) {
        cli_json_pretty(stdout, line);
        code = CLI_EXIT_OK;
    } else if (got == CLI_LINE_END) {
        cli_complain("the node gave no answer; remora status shows whether it "
                     "still runs");
    }
    cli_local_close(&c);
    return code;
}
