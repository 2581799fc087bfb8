/* The administration words: which verb is meant, and its life. */
#include "coord_admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coord_admin_internal.h"
#include "print.h"
#include "secret.h"

static const adm_word *const words[] = {&adm_users,    &adm_keys,   &adm_nodes,
                                        &adm_api_keys, &adm_policy, &adm_auth,
                                        &adm_health};

static const adm_word *find(const char *word)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (adm_is_named(words[i]->names, word)) {
            return words[i];
        }
    }
    return NULL;
}

bool cli_coord_is_admin(const char *word)
{
    return find(word) != NULL;
}

static bool read_output(adm *a)
{
    if (a->args.output == NULL || a->args.output[0] == '\0' ||
        cli_form_parse(&a->form, a->args.output)) {
        return true;
    }
    return adm_misused(a,
                       "--output takes table, json, json-line or yaml, not "
                       "'%s'",
                       a->args.output);
}

static bool run(adm *a, int argc, char **argv)
{
    a->code = CLI_EXIT_USAGE;
    if (!adm_args_parse(a, argc, argv) || !read_output(a)) {
        return false;
    }
    if (a->args.help) {
        (void)fputs(a->word->help, stdout);
        (void)fputs(adm_help_server, stdout);
        return true;
    }
    if (!adm_args_check(a)) {
        return false;
    }
    a->code = CLI_EXIT_FAILED;
    return adm_find_server(a) && a->verb->run(a);
}

int cli_coord_admin(int argc, char **argv)
{
    adm *a = calloc(1, sizeof *a);
    if (a == NULL) {
        cli_complain("out of memory");
        return CLI_EXIT_FAILED;
    }
    a->word = find(argv[0]);
    bool ok = a->word != NULL && run(a, argc - 1, argv + 1);
    int code = ok ? CLI_EXIT_OK : a->code;
    if (!ok) {
        adm_complain(a);
    }
    cli_tree_free(&a->answer);
    cli_file_free(&a->ca);
    cli_secret_free(a->api_key);
    free(a);
    return code;
}
