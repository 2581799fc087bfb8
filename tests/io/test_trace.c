/* Recorded traces, replayed: every adapter tells a machine the same for the same
 * operations (trace.h says what may differ).
 *
 * A file of traces/ is what a machine asked for and was told: its operations are
 * made again, step by step, and what comes must be what is written there.
 *   TRACE_RECORD=1 test_..._trace    writes what comes into the files instead;
 *                                    do so on io-posix, and read the difference
 */
#define _DEFAULT_SOURCE
#include "script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace.h"

#define PATIENCE (10 * RMR_SEC)
#define QUIET_TURNS 20

typedef struct replay {
    fixture f;
    trace t;
    FILE *out; /* recording: what comes */
} replay;

/* ---- one operation from its line ------------------------------------------- */

typedef struct line {
    char *words[8];
    size_t n;
} line;

static line split(char *text)
{
    line l = {{NULL}, 0};
    char *save = NULL;
    for (char *w = strtok_r(text, " \n", &save); w && l.n < 8;
         w = strtok_r(NULL, " \n", &save))
        l.words[l.n++] = w;
    return l;
}

static uint64_t id_of(const replay *r, const char *word)
{
    uint64_t n = strtoull(word + (word[0] == '@'), NULL, 10);
    uint64_t id = word[0] == '@' ? trace_child(&r->t, n) : n;
    assert_true(id != 0);
    return id;
}

static bool addr_of(const replay *r, const char *word, rmr_addr *out)
{
    const char *colon = strrchr(word, ':');
    memset(out, 0, sizeof *out);
    if (!colon)
        return false;
    if (strncmp(word, "none", 4) == 0)
        return true;
    assert_int_equal(
        rmr_addr_parse_ip(rmr_bytes_of(word, (size_t)(colon - word)), out),
        RMR_OK);
    out->port = colon[1] == '$'
                    ? trace_port(&r->t, strtoul(colon + 2, NULL, 10))
                    : (uint16_t)strtoul(colon + 1, NULL, 10);
    return true;
}

/* The caller frees it. */
static uint8_t *data_of(const char *word, size_t *len)
{
    *len = word[0] == '*' ? strtoul(word + 1, NULL, 10) : strlen(word);
    if (word[0] == '*')
        return pattern(*len, (uint32_t)*len);
    uint8_t *copy = malloc(*len + 1);
    assert_non_null(copy);
    memcpy(copy, word, *len + 1);
    return copy;
}

static rmr_io_op_kind kind_of(const char *verb)
{
    static const struct {
        const char *verb;
        rmr_io_op_kind kind;
    } verbs[] = {
        {"udp-open", RMR_IO_UDP_OPEN},  {"udp-send", RMR_IO_UDP_SEND},
        {"connect", RMR_IO_CONNECT},    {"listen", RMR_IO_LISTEN},
        {"pause", RMR_IO_ACCEPT_PAUSE}, {"resume", RMR_IO_ACCEPT_RESUME},
        {"read", RMR_IO_READ},          {"send", RMR_IO_STREAM_SEND},
        {"shutdown", RMR_IO_SHUTDOWN},  {"close", RMR_IO_CLOSE},
        {"abort", RMR_IO_ABORT},        {"resolve", RMR_IO_RESOLVE},
        {"load", RMR_IO_LOAD},          {"store", RMR_IO_STORE},
        {"stop", RMR_IO_STOP},
    };
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].verb, verb) == 0)
            return verbs[i].kind;
    fail_msg("no operation %s", verb);
    return RMR_IO_NONE;
}

static bool has_data(rmr_io_op_kind kind)
{
    return kind == RMR_IO_UDP_SEND || kind == RMR_IO_STREAM_SEND ||
           kind == RMR_IO_STORE;
}

/* "> VERB ID [ADDRESS | NAME] [DATA | CREDIT] [seg=N] [more]" */
static void do_line(replay *r, char *text)
{
    line l = split(text);
    rmr_io_op op;
    uint8_t *data = NULL;
    memset(&op, 0, sizeof op);
    assert_true(l.n >= 2);
    op.kind = kind_of(l.words[1]);
    op.id = op.kind == RMR_IO_STOP ? 0 : id_of(r, l.words[2]);
    for (size_t i = 3; i < l.n; i++) {
        const char *w = l.words[i];
        bool is_named = op.kind != RMR_IO_STREAM_SEND && i == 3;
        if (strncmp(w, "seg=", 4) == 0)
            op.seg_size = (uint32_t)strtoul(w + 4, NULL, 10);
        else if (strcmp(w, "more") == 0)
            op.more = true;
        else if (op.kind == RMR_IO_READ)
            op.credit = strtoul(w, NULL, 10);
        else if (is_named && !addr_of(r, w, &op.addr))
            op.name = rmr_bytes_str(w);
        else if (!is_named && has_data(op.kind))
            data = data_of(w, &op.data.len);
    }
    op.data.ptr = data;
    do_op(&r->f.s, &op);
    free(data);
}

/* ---- a step -------------------------------------------------------------- */

typedef struct step {
    char ops[TRACE_TEXT], all[TRACE_TEXT];
    bool has_deadline;
} step;

/* Operations, then events, up to the next operation; false: the end. */
static bool read_step(FILE *in, FILE *out, step *s)
{
    char text[512];
    bool had_event = false;
    long at = ftell(in);
    memset(s, 0, sizeof *s);
    for (; fgets(text, sizeof text, in); at = ftell(in)) {
        bool is_op = text[0] == '>' || text[0] == '!';
        if (is_op && had_event) {
            (void)fseek(in, at, SEEK_SET);
            return true;
        }
        had_event = had_event || text[0] == '<';
        s->has_deadline = s->has_deadline || text[0] == '!';
        if (out && text[0] != '<' && text[0] != '>')
            (void)fputs(text, out);
        if (text[0] == '>')
            (void)strncat(s->ops, text, sizeof s->ops - strlen(s->ops) - 1);
        if (text[0] == '>' || text[0] == '<')
            (void)strncat(s->all, text, sizeof s->all - strlen(s->all) - 1);
    }
    return s->all[0] != '\0';
}

static void do_ops(replay *r, step *s)
{
    char *save = NULL;
    for (char *l = strtok_r(s->ops, "\n", &save); l;
         l = strtok_r(NULL, "\n", &save))
        do_line(r, l);
    if (s->has_deadline)
        r->f.s.deadline = adapter_now() + 20 * RMR_MS;
}

static void record(replay *r)
{
    size_t before = 0;
    for (int quiet = 0; quiet < QUIET_TURNS; quiet++) {
        (void)adapter_turn(r->f.a, 10 * RMR_MS);
        quiet = r->t.n_events == before ? quiet : 0;
        before = r->t.n_events;
    }
    (void)fputs(trace_step(&r->t, true), r->out);
}

static void compare(replay *r, const step *s)
{
    rmr_time end = rmr_time_add(adapter_now(), PATIENCE);
    while (strcmp(trace_step(&r->t, false), s->all) != 0 &&
           adapter_now() < end && adapter_turn(r->f.a, RMR_SEC / 20))
        ;
    if (!r->f.s.is_stopped)
        turns(&r->f.s, 3); /* and no more than that */
    assert_string_equal(trace_step(&r->t, true), s->all);
}

/* ---- the tests ----------------------------------------------------------- */

static void run(replay *r, FILE *in)
{
    static step s;
    while (read_step(in, r->out, &s)) {
        do_ops(r, &s);
        if (r->out)
            record(r);
        else
            compare(r, &s);
    }
}

static rmr_machine around(void *user, const rmr_machine *m)
{
    return trace_around(user, m);
}

static replay r; /* of the test that runs */

static int setup(void **state)
{
    (void)state;
    memset(&r, 0, sizeof r);
    r.f.dir = temp_dir();
    r.f.a = adapter_new(r.f.dir);
    assert_non_null(r.f.a);
    script_init_around(&r.f.s, r.f.a, around, &r.t);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    adapter_free(r.f.a);
    script_wipe(&r.f.s);
    trace_wipe(&r.t);
    remove_dir(r.f.dir);
    return 0;
}

static void replay_file(const char *name)
{
    char path[512], fresh[520];
    (void)snprintf(path, sizeof path, REMORA_VECTORS "/../io/traces/%s", name);
    (void)snprintf(fresh, sizeof fresh, "%s.new", path);
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    r.out = getenv("TRACE_RECORD") ? fopen(fresh, "w") : NULL;
    run(&r, in);
    (void)fclose(in);
    if (r.out) {
        (void)fclose(r.out);
        assert_int_equal(rename(fresh, path), 0);
    }
}

#define TRACE_OF(name)                                                         \
    static void name(void **state)                                             \
    {                                                                          \
        (void)state;                                                           \
        replay_file(#name ".trace");                                           \
    }

TRACE_OF(datagrams)
TRACE_OF(streams)
TRACE_OF(half_close)
TRACE_OF(back_pressure)
TRACE_OF(resets)
TRACE_OF(listeners)
TRACE_OF(blobs)
TRACE_OF(local)
TRACE_OF(errors)
TRACE_OF(deadlines)
TRACE_OF(stop)

#define TRACE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TRACE_TEST(datagrams),     TRACE_TEST(streams), TRACE_TEST(half_close),
        TRACE_TEST(back_pressure), TRACE_TEST(resets),  TRACE_TEST(listeners),
        TRACE_TEST(blobs),         TRACE_TEST(local),   TRACE_TEST(errors),
        TRACE_TEST(deadlines),     TRACE_TEST(stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
