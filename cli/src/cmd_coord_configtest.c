/* remora coordinator configtest: all that serve would refuse, and a certificate
 * that nodes would, without making or changing anything. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include <remora/posix.h>

#include "commands.h"
#include "coord_args.h"
#include "coord_config.h"
#include "coord_files.h"
#include "coord_key.h"
#include "help.h"
#include "print.h"

typedef struct checks {
    cli_coord_args args;
    cli_coord_config cfg;
    cli_coord_files files;
} checks;

/* A key that is not there yet is made by serve. */
static bool check_key(const char *path)
{
    char error[1024];
    struct stat st;
    uint8_t key[RMR_KEY_LEN];
    rmr_env env = rmr_posix_env();
    if (stat(path, &st) != 0) {
        return true;
    }
    bool ok = cli_coord_key_file(path, &env, key, error, sizeof error);
    rmr_wipe(key, sizeof key);
    if (!ok) {
        cli_complain("%s", error);
    }
    return ok;
}

/* All of them, not the first alone: each that is wrong has its line. */
static bool check(checks *t)
{
    const cli_coord_config *c = &t->cfg;
    char dir[CLI_COORD_PATH_MAX];
    bool ok = true;
    if (!cli_coord_config_read(&t->cfg, t->args.config)) {
        cli_complain("%s", t->cfg.error);
        return false;
    }
    if (!cli_coord_files_certificate(&t->files, c)) {
        cli_complain("%s", t->files.error);
        ok = false;
    } else if (!cli_coord_files_doubts(&t->files, c, (uint64_t)time(NULL))) {
        cli_complain("%s", t->files.error);
        ok = false;
    }
    if (!cli_coord_files_policy(&t->files, c)) {
        cli_complain("%s", t->files.error);
        ok = false;
    }
    if (!cli_coord_files_derp_map(&t->files, c, NULL)) {
        cli_complain("%s", t->files.error);
        ok = false;
    }
    if (!cli_coord_files_dns(&t->files, c)) {
        cli_complain("%s", t->files.error);
        ok = false;
    }
    if (!cli_coord_files_socket_dir(&t->files, c, dir, sizeof dir)) {
        cli_complain("%s", t->files.error);
        ok = false;
    }
    ok = check_key(c->noise_key) && ok;
    if (c->derp.server.enabled) {
        ok = check_key(c->derp.server.private_key_path) && ok;
    }
    return ok;
}

int cli_coord_configtest(int argc, char **argv)
{
    checks *t = calloc(1, sizeof *t);
    int code = CLI_EXIT_USAGE;
    if (t == NULL) {
        cli_complain("out of memory");
        return CLI_EXIT_FAILED;
    }
    if (!cli_coord_args_parse(&t->args, argc, argv)) {
        cli_complain("%s", t->args.error);
    } else if (t->args.help) {
        (void)fputs(cli_help_coord_configtest, stdout);
        code = CLI_EXIT_OK;
    } else if (check(t)) {
        cli_print_clean(stdout, rmr_bytes_str(t->cfg.file));
        (void)puts(": nothing is wrong");
        code = CLI_EXIT_OK;
    } else {
        code = CLI_EXIT_FAILED;
    }
    cli_coord_files_free(&t->files);
    cli_coord_config_free(&t->cfg);
    free(t);
    return code;
}
