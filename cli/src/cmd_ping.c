/* remora ping */
#include <stdio.h>

#include "answer.h"
#include "commands.h"
#include "local_client.h"
#include "print.h"

#define UNTIL_DIRECT_COUNT 10 /* as tailscale ping has it */

static void print_probe(const cli_args *a, const cli_answer *p)
{
    if (p->error[0] != '\0') {
        (void)fputs("no answer from ", stdout);
        cli_print_clean(stdout, rmr_bytes_str(a->peer));
        (void)fputs(": ", stdout);
        cli_print_clean(stdout, rmr_bytes_str(p->error));
    } else {
        (void)fputs("pong from ", stdout);
        cli_print_clean(stdout, rmr_bytes_str(p->name));
        (void)fputs(" (", stdout);
        cli_print_clean(stdout, rmr_bytes_str(p->ip));
        (void)fputs(")", stdout);
        if (p->via[0] != '\0') {
            (void)fputs(" via ", stdout);
            cli_print_clean(stdout, rmr_bytes_str(p->via));
        }
        (void)printf(" in %.2f ms", p->ms);
    }
    (void)putchar('\n');
    (void)fflush(stdout);
}

static int finish(const cli_args *a, const cli_answer *total)
{
    if (a->until_direct && total->received > 0 && !total->direct) {
        cli_complain("no direct path to %s was found; traffic goes by a relay, "
                     "and remora netcheck may show why",
                     a->peer);
        return CLI_EXIT_FAILED;
    }
    if (total->received > 0) {
        return CLI_EXIT_OK;
    }
    cli_complain("%s answered none of %lld probes; is it online? remora "
                 "status shows it",
                 a->peer, (long long)total->sent);
    return CLI_EXIT_FAILED;
}

int cli_ping(const cli_args *a)
{
    cli_local c;
    uint8_t text[1024];
    rmr_jw w;
    rmr_bytes line;
    int code = CLI_EXIT_FAILED;
    cli_line got;

    if (!cli_local_open(&c, a->state_dir)) {
        return CLI_EXIT_FAILED;
    }
    rmr_jw_init(&w, rmr_buf_of(text, sizeof text));
    rmr_jw_object(&w);
    rmr_jw_kstr(&w, "op", "ping");
    rmr_jw_kstr(&w, "peer", a->peer);
    rmr_jw_kint(&w, "count",
                a->count          ? a->count
                : a->until_direct ? UNTIL_DIRECT_COUNT
                                  : 1);
    rmr_jw_kbool(&w, "icmp", a->icmp);
    rmr_jw_kbool(&w, "until_direct", a->until_direct);
    if (a->timeout != 0) {
        rmr_jw_ku64(&w, "timeout_ms", a->timeout / RMR_MS);
    }
    rmr_jw_object_end(&w);
    got = cli_local_send(&c, &w) ? CLI_LINE : CLI_LINE_FAILED;
    while (got == CLI_LINE) {
        cli_answer answer;
        got = cli_local_line(&c, &line);
        if (got == CLI_LINE_END ||
            (got == CLI_LINE && !cli_answer_parse(&answer, line))) {
            cli_complain("the node stopped answering; remora status shows "
                         "whether it still runs");
            break;
        }
        if (got == CLI_LINE && answer.done) {
            code = finish(a, &answer);
            break;
        }
        if (got == CLI_LINE) {
            print_probe(a, &answer);
        }
    }
    cli_local_close(&c);
    return code;
}
