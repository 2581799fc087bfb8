/* remora metrics */
#include <stdio.h>

#include "commands.h"
#include "local_client.h"
#include "metrics_file.h"
#include "print.h"

/* The lines as they come; false: it broke, and that has been said. */
static bool copy_lines(cli_local *c, rmr_bytes line)
{
    cli_line got = CLI_LINE;
    while (got == CLI_LINE) {
        cli_print_clean(stdout, line);
        (void)putchar('\n');
        got = cli_local_line(c, &line);
    }
    return got == CLI_LINE_END;
}

int cli_metrics(const cli_args *a)
{
    cli_local c;
    rmr_bytes line;
    bool ok = false;
    cli_line got = cli_local_ask(&c, a->state_dir, "metrics", &line);

    if (got == CLI_LINE) {
        ok = copy_lines(&c, line);
    } else {
        if (got == CLI_LINE_END) {
            cli_complain("the node gave no answer; is it stopping?");
        }
        (void)fputs(cli_metrics_down(), stdout);
    }
    cli_local_close(&c);
    return ok ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}
