/* remora down */
#include <poll.h>
#include <stdio.h>

#include "answer.h"
#include "commands.h"
#include "local_client.h"
#include "print.h"

/* The node closes what is open in order, which a dead peer can delay. */
#define LOOK_EVERY_MS 20
#define LOOKS 1000

static bool is_agreed(cli_local *c)
{
    cli_answer answer;
    rmr_bytes line;
    cli_line got = cli_local_line(c, &line);
    if (got == CLI_LINE && cli_answer_parse(&answer, line) && answer.ok) {
        return true;
    }
    if (got != CLI_LINE_FAILED) {
        cli_complain("the node gave no answer; is it stopping already?");
    }
    return false;
}

int cli_down(const cli_args *a)
{
    cli_local c;
    uint8_t text[64];
    rmr_jw w;
    int code = CLI_EXIT_FAILED;

    if (!cli_local_open(&c, a->state_dir)) {
        return CLI_EXIT_FAILED;
    }
    rmr_jw_init(&w, rmr_buf_of(text, sizeof text));
    rmr_jw_object(&w);
    rmr_jw_kstr(&w, "op", "down");
    rmr_jw_object_end(&w);
    if (cli_local_send(&c, &w) && is_agreed(&c)) {
        /* It has ended when nothing listens any more. */
        for (int i = 0; i < LOOKS && code != CLI_EXIT_OK; i++) {
            if (!cli_local_reopen(&c)) {
                code = CLI_EXIT_OK;
            } else {
                (void)poll(NULL, 0, LOOK_EVERY_MS);
            }
        }
        if (code != CLI_EXIT_OK) {
            cli_complain("the node is still stopping; look again with remora "
                         "status");
        }
    }
    cli_local_close(&c);
    return code;
}
