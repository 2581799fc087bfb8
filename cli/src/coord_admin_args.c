/* The options of the administration words. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "coord_admin_internal.h"

/* Of all words. */
static const adm_option common[] = {
    {"config", 'c', ADM_TEXT, offsetof(adm_args, config)},
    {"socket", 0, ADM_TEXT, offsetof(adm_args, socket)},
    {"address", 0, ADM_TEXT, offsetof(adm_args, address)},
    {"api-key-file", 0, ADM_TEXT, offsetof(adm_args, api_key_file)},
    {"ca-file", 0, ADM_TEXT, offsetof(adm_args, ca_file)},
    {"insecure-http", 0, ADM_FLAG, offsetof(adm_args, insecure_http)},
    {"output", 'o', ADM_TEXT, offsetof(adm_args, output)},
    {"force", 0, ADM_FLAG, offsetof(adm_args, force)},
    {"help", 'h', ADM_FLAG, offsetof(adm_args, help)},
};

bool adm_wrong(adm *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(a->error, sizeof a->error, fmt, ap);
    va_end(ap);
    return false;
}

bool adm_misused(adm *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(a->error, sizeof a->error, fmt, ap);
    va_end(ap);
    a->code = CLI_EXIT_USAGE;
    return false;
}

/* ---- names --------------------------------------------------------------- */

bool adm_is_named(const char *names, const char *word)
{
    size_t len = strlen(word);
    while (len > 0 && *names != '\0') {
        size_t n = strcspn(names, " ");
        if (n == len && memcmp(names, word, n) == 0) {
            return true;
        }
        names += n + (names[n] == ' ');
    }
    return false;
}

const char *adm_first_name(const char *names, char dst[32])
{
    (void)snprintf(dst, 32, "%.*s", (int)strcspn(names, " "), names);
    return dst;
}

/* "users list", for sentences. */
static const char *what(const adm *a, char dst[72])
{
    char word[32], verb[32];
    (void)adm_first_name(a->word->names, word);
    (void)snprintf(dst, 72, "%s%s%s", word,
                   a->verb != NULL && a->verb->names[0] != '\0' ? " " : "",
                   a->verb != NULL ? adm_first_name(a->verb->names, verb) : "");
    return dst;
}

/* Of this word: what is wrong, and where it is told. */
static bool see_help(adm *a, const char *wrong, const char *text,
                     const char *behind)
{
    char name[72], word[32];
    return adm_misused(a, "%s %s%.80s%s; see remora coordinator %s --help",
                       what(a, name), wrong, text, behind,
                       adm_first_name(a->word->names, word));
}

/* ---- options ------------------------------------------------------------- */

static bool is_option(const adm_option *o, const char *arg)
{
    size_t n = strlen(o->name);
    if (arg[1] != '-') {
        return o->letter != 0 && arg[1] == o->letter;
    }
    return strncmp(arg + 2, o->name, n) == 0 &&
           (arg[2 + n] == '\0' || arg[2 + n] == '=');
}

static const adm_option *find(const adm_option *all, size_t n, const char *arg)
{
    for (size_t i = 0; i < n; i++) {
        if (is_option(&all[i], arg)) {
            return &all[i];
        }
    }
    return NULL;
}

static const adm_option *find_option(const adm *a, const char *arg)
{
    const adm_option *o = find(common, sizeof common / sizeof common[0], arg);
    if (o == NULL && a->verb != NULL) {
        o = find(a->verb->options, a->verb->n_options, arg);
    }
    return o;
}

/* Behind "--name=" or "-x", or NULL: the next argument. */
static const char *value_of(const char *arg)
{
    const char *value = strchr(arg, '=');
    if (arg[1] != '-') {
        return arg[2] == '\0' ? NULL : arg[2] == '=' ? arg + 3 : arg + 2;
    }
    return value != NULL ? value + 1 : NULL;
}

/* What is separated by commas; nothing at all is an empty list. */
static bool add_to_list(adm *a, adm_list *l, const char *v)
{
    l->given = true;
    while (*v != '\0') {
        size_t n = strcspn(v, ",");
        if (l->n == ADM_LIST_MAX) {
            return adm_misused(a, "a list may have %d elements", ADM_LIST_MAX);
        }
        if (n == 0) {
            return adm_misused(a, "there is a comma too many in '%s'", v);
        }
        l->at[l->n++] = rmr_bytes_of(v, n);
        v += n + (v[n] == ',');
    }
    return true;
}

static bool set(adm *a, const adm_option *o, const char *arg, int argc,
                char **argv, int *i)
{
    void *to = (uint8_t *)&a->args + o->offset;
    const char *value = value_of(arg);
    if (o->kind == ADM_FLAG) {
        if (value != NULL && strcmp(value, "true") != 0 &&
            strcmp(value, "false") != 0) {
            return adm_misused(a, "--%s takes no value", o->name);
        }
        *(bool *)to = value == NULL || strcmp(value, "true") == 0;
        return true;
    }
    if (value == NULL && *i + 1 >= argc) {
        return adm_misused(a, "--%s needs a value", o->name);
    }
    value = value != NULL ? value : argv[++*i];
    if (o->kind == ADM_LIST) {
        return add_to_list(a, to, value);
    }
    *(const char **)to = value;
    return true;
}

/* The word behind the options of all words; *at: where it stands, or argc. */
static bool find_verb(adm *a, int argc, char **argv, int *at)
{
    const adm_word *w = a->word;
    int i = 0;
    *at = argc;
    if (w->verbs[0].names[0] == '\0') {
        a->verb = &w->verbs[0];
        return true;
    }
    while (i < argc && argv[i][0] == '-') {
        const adm_option *o = find_option(a, argv[i]);
        if (o == NULL) {
            return see_help(a, "has no option '", argv[i],
                            "' in front of its verb");
        }
        i += o->kind != ADM_FLAG && value_of(argv[i]) == NULL ? 2 : 1;
    }
    if (i >= argc) {
        return true;
    }
    for (size_t k = 0; k < w->n_verbs && a->verb == NULL; k++) {
        if (adm_is_named(w->verbs[k].names, argv[i])) {
            a->verb = &w->verbs[k];
        }
    }
    *at = i;
    if (a->verb == NULL && strcmp(argv[i], "help") == 0) {
        a->args.help = true;
        return true;
    }
    return a->verb != NULL || see_help(a, "has no '", argv[i], "'");
}

bool adm_args_parse(adm *a, int argc, char **argv)
{
    int verb;
    bool only_operands = false;
    if (!find_verb(a, argc, argv, &verb)) {
        return false;
    }
    for (int i = 0; i < argc && !a->args.help; i++) {
        const char *arg = argv[i];
        if (i == verb) {
            continue;
        }
        if (!only_operands && strcmp(arg, "--") == 0) {
            only_operands = true;
        } else if (!only_operands && arg[0] == '-' && arg[1] != '\0') {
            const adm_option *o = find_option(a, arg);
            if (o == NULL) {
                return see_help(a, "has no option '", arg, "'");
            }
            if (!set(a, o, arg, argc, argv, &i)) {
                return false;
            }
        } else if (a->verb == NULL || a->verb->operand == NULL ||
                   a->args.operand != NULL) {
            return see_help(a, "takes no '", arg, "' here");
        } else {
            a->args.operand = arg;
        }
    }
    return true;
}

static bool is_given(const adm *a, const char *name)
{
    for (size_t i = 0; i < a->verb->n_options; i++) {
        const adm_option *o = &a->verb->options[i];
        const uint8_t *at = (const uint8_t *)&a->args + o->offset;
        const char *text;
        if (strcmp(o->name, name) != 0) {
            continue;
        }
        if (o->kind == ADM_LIST) {
            return ((const adm_list *)(const void *)at)->given;
        }
        memcpy(&text, at, sizeof text);
        return text != NULL && text[0] != '\0';
    }
    return true;
}

bool adm_args_check(adm *a)
{
    char name[40];
    if (a->verb == NULL) {
        return see_help(a, "needs a verb", "", "");
    }
    if (a->verb->operand != NULL &&
        (a->args.operand == NULL || a->args.operand[0] == '\0')) {
        return see_help(a, "needs ", a->verb->operand, "");
    }
    for (const char *p = a->verb->needs; p != NULL && *p != '\0';) {
        size_t n = strcspn(p, " ");
        (void)snprintf(name, sizeof name, "%.*s", (int)n, p);
        if (!is_given(a, name)) {
            return see_help(a, "needs --", name, "");
        }
        p += n + (p[n] == ' ');
    }
    return true;
}

/* ---- how long ------------------------------------------------------------ */

/* "1h", "90d", "1d12h": numbers and units, the larger in front. */
static bool read_duration(const char *text, uint64_t *seconds)
{
    static const struct {
        const char *name;
        uint64_t seconds;
    } units[] = {{"y", 31536000}, {"w", 604800}, {"d", 86400},
                 {"h", 3600},     {"m", 60},     {"s", 1}};
    size_t u = 0, n_units = sizeof units / sizeof units[0];
    *seconds = 0;
    if (*text == '\0') {
        return false;
    }
    while (*text != '\0') {
        size_t digits = strspn(text, "0123456789");
        uint64_t n;
        if (rmr_parse_u64(rmr_bytes_of(text, digits), 1000000000, &n) !=
            RMR_OK) {
            return false;
        }
        text += digits;
        while (u < n_units && *text != units[u].name[0]) {
            u++;
        }
        if (u == n_units) {
            return false;
        }
        *seconds += n * units[u++].seconds;
        text++;
    }
    return true;
}

bool adm_expiry(adm *a, const char *text, char dst[RMR_TIME_TEXT_MAX])
{
    struct timespec now;
    uint64_t seconds;
    if (!read_duration(text, &seconds)) {
        return adm_misused(a,
                           "--expiration takes a duration such as 30m, 24h, "
                           "90d or 1y, not '%s'",
                           text);
    }
    if (clock_gettime(CLOCK_REALTIME, &now) != 0 || now.tv_sec < 0) {
        return adm_wrong(a, "the system does not tell the time");
    }
    /* The year 2261 is the last that fits. */
    if (seconds > (uint64_t)200 * 31536000) {
        return adm_misused(a, "--expiration takes 200y at the most, not '%s'",
                           text);
    }
    (void)rmr_time_text(((uint64_t)now.tv_sec + seconds) * RMR_SEC, dst);
    return true;
}
