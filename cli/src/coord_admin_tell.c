/* Questions before something is lost, results, errors. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "coord_admin_internal.h"
#include "print.h"

bool adm_confirm(adm *a, const char *question, rmr_bytes about,
                 const char *undone)
{
    char answer[16] = "";
    if (a->args.force) {
        return true;
    }
    if (isatty(STDIN_FILENO) == 0) {
        return adm_wrong(a,
                         "%s: there is no terminal to ask at; add --force "
                         "to do it without a question",
                         undone);
    }
    (void)fputs(question, stderr);
    cli_print_clean(stderr, about);
    (void)fputs("? [y/n] ", stderr);
    if (fgets(answer, sizeof answer, stdin) == NULL) {
        answer[0] = '\0';
    }
    answer[strcspn(answer, "\r\n")] = '\0';
    return strcmp(answer, "y") == 0 || strcmp(answer, "Y") == 0 ||
           strcmp(answer, "yes") == 0 ||
           adm_wrong(a, "%s: the answer was not yes", undone);
}

bool adm_is_table(const adm *a)
{
    return a->form == CLI_FORM_TABLE;
}

static bool no_memory(adm *a)
{
    return adm_wrong(a, "out of memory");
}

bool adm_print(adm *a, const cli_node *n, const char *sentence)
{
    if (n == NULL) {
        return false; /* said already */
    }
    if (adm_is_table(a)) {
        (void)puts(sentence);
        return true;
    }
    return cli_node_print(stdout, n, a->form) || no_memory(a);
}

bool adm_print_done(adm *a, const char *sentence)
{
    static const cli_node nothing = {.kind = RMR_JSON_OBJECT};
    return adm_print(a, &nothing, sentence);
}

bool adm_print_table(adm *a, cli_table *t)
{
    return cli_table_print(stdout, t) || no_memory(a);
}

/* As Headscale's command: where JSON was wanted, the error is some too. */
void adm_complain(const adm *a)
{
    cli_node object = {.kind = RMR_JSON_OBJECT};
    cli_node error = {.kind = RMR_JSON_STRING};
    rmr_bytes text = rmr_bytes_str(a->error);
    if (adm_is_table(a)) {
        (void)fputs("remora: ", stderr);
        cli_print_clean(stderr, text);
        (void)putc('\n', stderr);
        return;
    }
    error.key = rmr_bytes_str("error");
    error.text = text;
    object.first = &error;
    (void)cli_node_print(stderr, &object, a->form);
}
