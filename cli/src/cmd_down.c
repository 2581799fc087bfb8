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

static bool is_agreed(cli_local *c, const char *state_dir)
{
    cli_answer answer;
    rmr_bytes line;
    cli_line got = cli_local_ask(c, state_dir, "down", &line);
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
    int code = CLI_EXIT_FAILED;

    if (is_agreed(&c, a->state_dir)) {
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
