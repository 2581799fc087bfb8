/* The metrics: well-formed as Prometheus reads them, all names of derper's, and
 * numbers that are true. */
#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static rig r;
static rig_client a, b;
static char text[RMR_RELAY_METRICS_MAX + 1];

static void look(void)
{
    size_t len = 0;
    assert_int_equal(
        rmr_relay_metrics(r.relay, rmr_buf_of((uint8_t *)text, sizeof text - 1),
                          &len),
        RMR_OK);
    text[len] = 0;
}

/* The value of a sample ("name" or "name{label="x"}"); -1: there is none. */
static double value_of(const char *sample)
{
    size_t len = strlen(sample);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, sample, len) == 0 && line[len] == ' ')
            return atof(line + len + 1);
    }
    return -1;
}

/* ---- the form (text format 0.0.4) -------------------------------------- */

#define NAME "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:"

typedef struct form {
    char family[96], kind[16];
    char seen[256][96]; /* families */
    size_t n_seen;
    double bucket; /* the last of the histogram on hand */
    char bound[32];
    size_t n_samples; /* of the family on hand */
} form;

static void end_family(form *f)
{
    if (f->family[0])
        assert_true(f->n_samples > 0);
    if (strcmp(f->kind, "histogram") == 0)
        assert_string_equal(f->bound, "+Inf");
    f->n_samples = 0;
    f->bucket = 0;
    f->bound[0] = 0;
}

static void check_help(form *f, const char *line)
{
    size_t len = strspn(line, NAME);
    end_family(f);
    assert_true(len > 0 && len < sizeof f->family && line[len] == ' ');
    assert_true(strlen(line + len + 1) > 5);
    memcpy(f->family, line, len);
    f->family[len] = 0;
    f->kind[0] = 0;
    for (size_t i = 0; i < f->n_seen; i++)
        assert_string_not_equal(f->seen[i], f->family);
    assert_true(f->n_seen < 256);
    memcpy(f->seen[f->n_seen++], f->family, len + 1);
}

static void check_type(form *f, const char *line)
{
    size_t len = strlen(f->family);
    assert_memory_equal(line, f->family, len);
    assert_int_equal(line[len], ' ');
    assert_true(f->kind[0] == 0 && strlen(line + len + 1) < sizeof f->kind);
    memcpy(f->kind, line + len + 1, strlen(line + len + 1) + 1);
    assert_true(strcmp(f->kind, "gauge") == 0 ||
                strcmp(f->kind, "counter") == 0 ||
                strcmp(f->kind, "histogram") == 0);
}

/* {name="value",...}; returns what is behind it. */
static const char *check_labels(form *f, const char *at)
{
    do {
        at++;
        size_t len = strspn(at, NAME);
        assert_true(len > 0 && at[len] == '=' && at[len + 1] == '"');
        const char *value = at + len + 2;
        size_t n = strcspn(value, "\"\\\n");
        assert_int_equal(value[n], '"');
        if (strncmp(at, "le=", 3) == 0) {
            assert_true(n < sizeof f->bound);
            if (f->bound[0] && strncmp(value, "+Inf", 4) != 0)
                assert_true(atof(value) > atof(f->bound));
            memcpy(f->bound, value, n);
            f->bound[n] = 0;
        }
        at = value + n + 1;
    } while (*at == ',');
    assert_int_equal(*at, '}');
    return at + 1;
}

static void check_sample(form *f, const char *line)
{
    size_t len = strspn(line, NAME), base = strlen(f->family);
    const char *at = line + len;
    char *end;
    assert_true(f->kind[0] != 0 && len >= base);
    assert_memory_equal(line, f->family, base);
    bool bucket = strncmp(line + base, "_bucket{", 8) == 0;
    if (strcmp(f->kind, "histogram") != 0)
        assert_int_equal(len, base);
    else
        assert_true(bucket || strncmp(line + base, "_sum ", 5) == 0 ||
                    strncmp(line + base, "_count ", 7) == 0);
    if (*at == '{')
        at = check_labels(f, at);
    assert_int_equal(*at, ' ');
    double v = strtod(at + 1, &end);
    assert_true(end != at + 1 && *end == 0 && v >= 0);
    if (bucket) {
        assert_true(v >= f->bucket);
        f->bucket = v;
    }
    if (strncmp(line + base, "_count ", 7) == 0)
        assert_true(v >= f->bucket && v <= f->bucket);
    f->n_samples++;
}

static void check_form(form *f)
{
    static char copy[sizeof text];
    char *line = copy;
    memset(f, 0, sizeof *f);
    memcpy(copy, text, strlen(text) + 1);
    assert_true(copy[0] != 0 && copy[strlen(copy) - 1] == '\n');
    while (*line) {
        char *end = strchr(line, '\n');
        *end = 0;
        if (strncmp(line, "# HELP ", 7) == 0)
            check_help(f, line + 7);
        else if (strncmp(line, "# TYPE ", 7) == 0)
            check_type(f, line + 7);
        else
            check_sample(f, line);
        line = end + 1;
    }
    end_family(f);
}

static bool on_usage(void *user, rmr_relay_usage *out)
{
    (void)user;
    out->open_files = 12;
    out->memory_bytes = 3000000;
    out->start_bytes = 2000000;
    return true;
}

/* With everything that brings metrics of its own. */
static void start_all(void)
{
    rmr_relay_config cfg;
    rig_init(&r);
    r.cb.on_usage = on_usage;
    rig_config(&r, &cfg);
    cfg.rate_bytes = 1000000;
    cfg.rate_burst = 100000;
    cfg.verify_url = "http://127.0.0.1:8080/verify";
    assert_int_equal(rig_new(&r, &cfg), RMR_OK);
}

static void the_text_is_well_formed(void **st)
{
    static form f;
    (void)st;
    rig_start(&r);
    look();
    check_form(&f);
    size_t few = f.n_seen;
    rig_client_open(&r, &a, 1, false);
    rig_client_send(&a, a.key, "x", 1);
    look();
    check_form(&f);
    assert_int_equal(f.n_seen, few);
    rig_client_free(&a);
    rig_end(&r);
    start_all();
    look();
    check_form(&f);
    assert_int_equal(f.n_seen, few + 3 + 3 + 1); /* usage, rate, URL */
    rig_end(&r);
}

static void every_name_of_derper_is_there_with_its_kind(void **st)
{
    static const char gauges[][48] = {
        "derp_current_connections",
        "derp_current_home_connections",
        "derp_current_notideal_connections",
        "derp_clients_total",
        "derp_clients_local",
        "derp_clients_remote",
        "derp_current_dup_client_keys",
        "derp_current_dup_client_conns",
        "derp_watchers",
        "derp_current_file_descriptors",
        "derp_memstats_sys0",
        "derp_average_queue_duration_ms",
        "derp_rate_limit_per_client_bytes_per_second",
        "derp_rate_limit_per_client_burst_bytes",
        "derper_tls_active_version"};
    static const char counters[][48] = {
        "derp_accepts",
        "derp_bytes_received",
        "derp_bytes_sent",
        "derp_packets_received",
        "derp_packets_sent",
        "derp_packets_received_kind",
        "derp_packets_dropped",
        "derp_bytes_dropped",
        "derp_got_ping",
        "derp_sent_pong",
        "derp_peer_gone_disconnected_frames",
        "derp_peer_gone_not_here_frames",
        "derp_packets_forwarded_in",
        "derp_packets_forwarded_out",
        "derp_home_moves_in",
        "derp_home_moves_out",
        "derp_total_dup_client_conns",
        "derp_sclient_write_timeouts",
        "derp_multiforwarder_created",
        "derp_multiforwarder_deleted",
        "derp_packet_forwarder_delete_other_value",
        "derp_unknown_frames",
        "derp_websocket_accepts",
        "derp_rate_limit_per_client_waited",
        "stun_requests",
        "stun_addrfamily",
        "derper_tls_request_version",
        "tls_listener_accepted_connections",
        "tls_listener_rejected_connections"};
    static const char histograms[][48] = {"derp_buffered_write_frames",
                                          "derp_mesh_update_batch_size",
                                          "derp_mesh_update_loop_count"};
    char line[2048]; /* so that the compiler sees it fit */
    (void)st;
    start_all();
    look();
#define ALL(list, kind)                                                        \
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {                \
        snprintf(line, sizeof line, "# TYPE %s " kind "\n", list[i]);          \
        if (!strstr(text, line))                                               \
            fail_msg("%s", line);                                              \
    }
    ALL(gauges, "gauge")
    ALL(counters, "counter")
    ALL(histograms, "histogram")
    rig_end(&r);
}

static void the_numbers_are_those_of_what_happened(void **st)
{
    (void)st;
    rig_start(&r);
    rig_client_open(&r, &a, 1, false);
    rig_client_open(&r, &b, 2, false);
    rig_client_send(&a, b.key, "12345", 5);
    rig_client_run(&b);
    look();
    assert_true(value_of("derp_current_connections") == 2);
    assert_true(value_of("derp_clients_local") == 2);
    assert_true(value_of("remora_relay_logins") == 2);
    assert_true(value_of("derp_bytes_sent") == 5);
    assert_true(value_of("derp_packets_received_kind{kind=\"other\"}") == 1);
    assert_true(value_of("tls_listener_accepted_connections") == 2);
    /* Each got ServerKey, then ServerInfo; b the packet. */
    assert_true(value_of("derp_buffered_write_frames_count") == 5);
    assert_true(value_of("derp_buffered_write_frames_sum") == 5);
    assert_true(value_of("derp_buffered_write_frames_bucket{le=\"1\"}") == 5);
    assert_true(value_of("derp_current_file_descriptors") == -1);
    rig_client_free(&a);
    rig_client_free(&b);
    rig_end(&r);
}

static void what_the_process_uses_is_asked_of_the_host(void **st)
{
    (void)st;
    start_all();
    look();
    assert_true(value_of("derp_current_file_descriptors") == 12);
    assert_true(value_of("derp_memstats_sys0") == 2000000);
    assert_true(value_of("process_resident_memory_bytes") == 3000000);
    rig_end(&r);
}

static void limits_are_shown_as_they_hold(void **st)
{
    (void)st;
    start_all();
    look();
    assert_true(value_of("derp_rate_limit_per_client_bytes_per_second") ==
                1000000);
    assert_true(value_of("derp_rate_limit_per_client_burst_bytes") == 100000);
    rmr_relay_set_rate(r.relay, r.now, 5, 7);
    look();
    assert_true(value_of("derp_rate_limit_per_client_burst_bytes") == 65568);
    rmr_relay_set_rate(r.relay, r.now, 0, 7);
    look();
    assert_true(value_of("derp_rate_limit_per_client_burst_bytes") == -1);
    rig_end(&r);
}

static void too_little_room_is_told(void **st)
{
    uint8_t small[512];
    size_t len = 1;
    (void)st;
    rig_start(&r);
    assert_int_equal(
        rmr_relay_metrics(r.relay, rmr_buf_of(small, sizeof small), &len),
        RMR_E_BUFSIZE);
    assert_int_equal(len, 0);
    rig_end(&r);
}

/* Large numbers, too, must fit where rmr_relay_metrics says so. */
static void the_promised_room_is_enough(void **st)
{
    (void)st;
    start_all();
    look();
    size_t values = 0;
    for (const char *at = text; *at; at++)
        values += *at == '\n';
    assert_true(strlen(text) + values * 20 < RMR_RELAY_METRICS_MAX);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T cmocka_unit_test
        T(the_text_is_well_formed),
        T(every_name_of_derper_is_there_with_its_kind),
        T(the_numbers_are_those_of_what_happened),
        T(what_the_process_uses_is_asked_of_the_host),
        T(limits_are_shown_as_they_hold),
        T(too_little_room_is_told),
        T(the_promised_room_is_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
