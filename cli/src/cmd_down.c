/* remora down */
#include "answer.h"
#include "commands.h"
#include "local_client.h"
#include "print.h"

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
    bool ok = is_agreed(&c, a->state_dir) && cli_local_wait_end(&c);
    cli_local_close(&c);
    return ok ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}
