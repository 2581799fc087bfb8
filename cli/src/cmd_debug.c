/* remora debug */
#include <stdio.h>

#include "commands.h"
#include "local_client.h"
#include "print.h"
#include "status_json.h"

int cli_debug(const cli_args *a)
{
    cli_local c;
    uint8_t text[64];
    rmr_jw w;
    rmr_bytes line;
    int code = CLI_EXIT_FAILED;
    cli_line got;

    if (!cli_local_open(&c, a->state_dir)) {
        return CLI_EXIT_FAILED;
    }
    rmr_jw_init(&w, rmr_buf_of(text, sizeof text));
    rmr_jw_object(&w);
    rmr_jw_kstr(&w, "op", a->subject);
    rmr_jw_object_end(&w);
    got = cli_local_send(&c, &w) ? cli_local_line(&c, &line) : CLI_LINE_FAILED;
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
