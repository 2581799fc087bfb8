/*
 * What the administration words share.
 *   coord_admin.c         words, verbs, the life of a command
 *   coord_admin_args.c    options
 *   coord_admin_server.c  which server is meant
 *   coord_admin_ask.c     requests and refusals
 *   coord_admin_tell.c    questions, results, errors
 *   coord_admin_users.c, _keys.c, _nodes.c, _other.c   the verbs
 *   coord_admin_help.c    --help
 *   coord_admin_http.c, _net.c   the connection
 */
#ifndef CLI_COORD_ADMIN_INTERNAL_H
#define CLI_COORD_ADMIN_INTERNAL_H

#include "commands.h"
#include "coord_admin_http.h"
#include "coord_out.h"
#include "files.h"

#include <remora/text.h>

#define ADM_LIST_MAX 64
#define ADM_PATH_MAX 2048

typedef struct adm_list { /* borrowed of the arguments */
    rmr_bytes at[ADM_LIST_MAX];
    size_t n;
    bool given; /* also where it is empty */
} adm_list;

typedef struct adm_args { /* NULL: not given */
    const char *config, *socket, *address, *api_key_file, *ca_file;
    const char *output;
    const char *id, *name, *user, *email, *display, *picture, *new_name;
    const char *expiry, *login, *prefix, *file;
    adm_list tags, routes;
    bool force, help, insecure_http, reusable, ephemeral, disable;
    const char *operand;
} adm_args;

typedef struct adm adm;

/* One option: where its value goes. */
typedef enum adm_kind { ADM_TEXT, ADM_FLAG, ADM_LIST } adm_kind;

typedef struct adm_option {
    const char *name;
    char letter; /* or 0 */
    adm_kind kind;
    size_t offset; /* in adm_args */
} adm_option;

typedef struct adm_verb {
    const char *names;    /* "list ls show": the first is its own */
    const char *operand;  /* what it takes, or NULL */
    const char *needs;    /* options that must be given: "id routes"; or NULL */
    const adm_option *options;
    size_t n_options;
    bool (*run)(adm *a);
} adm_verb;

typedef struct adm_word {
    const char *names;
    const adm_verb *verbs; /* health has one, without a name of its own */
    size_t n_verbs;
    const char *help;
} adm_word;

extern const adm_word adm_users, adm_keys, adm_nodes, adm_api_keys, adm_policy,
    adm_auth, adm_health;

extern const char adm_help_users[], adm_help_keys[], adm_help_nodes[],
    adm_help_api_keys[], adm_help_policy[], adm_help_auth[], adm_help_health[],
    adm_help_server[]; /* the options of all */

struct adm {
    const adm_word *word;
    const adm_verb *verb;
    adm_args args;
    cli_form form;
    cli_server server;
    char socket[4096];
    char *api_key; /* secret */
    cli_file ca;
    cli_tree answer;
    char path[ADM_PATH_MAX]; /* of the next request */
    bool path_failed;        /* it was too long */
    int code; /* where it fails */
    char error[1024];
};

/* ---- arguments ----------------------------------------------------------- */

/** Is `word` one of the blank-separated names? */
bool adm_is_named(const char *names, const char *word);
/** The first of them. */
const char *adm_first_name(const char *names, char dst[32]);
/** What stands behind the word.  False: a->error. */
bool adm_args_parse(adm *a, int argc, char **argv);
/** Is everything there that the verb needs?  False: a->error. */
bool adm_args_check(adm *a);
/** a->error; false. */
bool adm_wrong(adm *a, const char *fmt, ...) RMR_PRINTF(2, 3);
/** Wrong usage, found by a verb.  False. */
bool adm_misused(adm *a, const char *fmt, ...) RMR_PRINTF(2, 3);

/** "1h", "90d", "1d12h" from now, as RFC 3339; false: a->error. */
bool adm_expiry(adm *a, const char *text, char dst[RMR_TIME_TEXT_MAX]);

/** Where the server is; false: a->error. */
bool adm_find_server(adm *a);

/* ---- requests ------------------------------------------------------------ */

/** Begins a path below /api/v1/ , and adds to it; `text` is escaped. */
void adm_path(adm *a, const char *path);
void adm_path_add(adm *a, const char *text);
void adm_path_raw(adm *a, const char *text);

/** Asks for a->path; the answer is in a->answer, which what was there before
 *  leaves.
 *
 *  \param body     NULL: none.
 *  \param missing  What to do about a 404; NULL: nothing to say.
 *  False: a->error. */
bool adm_ask(adm *a, const char *method, const rmr_jw *body,
             const char *missing);

/** A member of the answer's object; an answer without it fails.  NULL:
 *  a->error. */
const cli_node *adm_member(adm *a, const char *key);

/** A decimal number? */
bool adm_is_id(const char *text);
/** Is what --id said one?  False: a->error names the option. */
bool adm_check_id(adm *a, const char *option);
#define ADM_ID_MAX 24
/** The one user whose `by` ("name", "id", "email") is `text`.  NULL:
 *  a->error. */
const cli_node *adm_user(adm *a, const char *by, const char *text);
/** The ID of a user who is named by it or by the name.  False: a->error. */
bool adm_user_id(adm *a, const char *id_or_name, char dst[ADM_ID_MAX]);

/** Asks on a terminal, unless --force: the question, and what it is about,
 *  printed clean.  False: no, or there is no terminal; a->error then begins
 *  with `undone`. */
bool adm_confirm(adm *a, const char *question, rmr_bytes about,
                 const char *undone);

void adm_put_list(rmr_jw *w, const char *key, const adm_list *list);
/** Completes a node's login: auth register, nodes register. */
bool adm_register(adm *a);

/* ---- results ------------------------------------------------------------- */

bool adm_is_table(const adm *a);
/** The node as it is, where the form is not the table; else the sentence. */
bool adm_print(adm *a, const cli_node *n, const char *sentence);
/** {} where the form is not the table; else the sentence. */
bool adm_print_done(adm *a, const char *sentence);
bool adm_print_table(adm *a, cli_table *t);
/** a->error, on stderr. */
void adm_complain(const adm *a);

#endif
