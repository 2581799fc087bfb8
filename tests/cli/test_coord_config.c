/* The coordinator's configuration: what each setting becomes, and what is said
 * of each that is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coord_config.h"

#define BASE "server_url: https://hs.example.test\nlisten_addr: 0.0.0.0:8080\n"

static cli_coord_config c;

static bool parse(const char *text)
{
    cli_coord_config_init(&c, "/etc/remora/coordinator.yaml");
    return cli_coord_config_parse(&c, rmr_bytes_str(text));
}

static void good(const char *text)
{
    if (!parse(text)) {
        fail_msg("%s", c.error);
    }
}

static const char *addr(const rmr_addr *a)
{
    static char text[RMR_ADDR_TEXT_MAX];
    return rmr_addr_text(a, text);
}

/* ---- what is good -------------------------------------------------------- */

static void test_two_settings_are_enough(void **state)
{
    (void)state;
    good(BASE);
    assert_string_equal(c.server_url, "https://hs.example.test");
    assert_int_equal(c.listen.n, 1);
    assert_string_equal(addr(&c.listen.at[0]), "0.0.0.0:8080");
    assert_int_equal(c.metrics.family, RMR_AF_NONE);
    assert_int_equal(c.v4.bits, 10);
    assert_int_equal(c.v6.bits, 48);
    assert_int_equal(c.unix_socket_mode, 0700);
    assert_string_equal(c.base_domain, "tailnet.internal");
    assert_true(c.magic_dns && c.override_dns && !c.dns.off);
    assert_int_equal(c.node_expiry, 0);
    assert_int_equal(c.ephemeral_timeout, 120 * RMR_SEC);
    assert_true(c.policy_in_database && !c.open && c.policy == NULL);
    assert_false(c.derp.server.enabled);
    assert_int_equal(c.log_level, RMR_LOG_INFO);
    assert_null(c.tls_cert);
    assert_int_equal(c.n_proxies, 0);
    assert_int_equal(c.handshake_rate, 100);
    assert_int_equal(c.handshake_burst, 8192);
    cli_coord_config_free(&c);
}

static void test_each_setting(void **state)
{
    (void)state;
    good("server_url: \"https://hs.example.test\"\n"
         "listen_addr: [\"127.0.0.1:8080\", '[::1]:8080']\n"
         "metrics_listen_addr: 127.0.0.1:9090\n"
         "trusted_proxies: [127.0.0.1/32, \"::1/128\", 10.0.0.7]\n"
         "state_dir: /var/lib/x\n"
         "unix_socket: ../run/hs.sock\n"
         "unix_socket_permission: \"0770\"\n"
         "tls_cert_path: cert.pem\n"
         "tls_key_path: /k/key.pem\n"
         "limits: {handshakes_per_second: 1, handshakes_at_once: 65535}\n"
         "noise: {private_key_path: noise.key}\n"
         "prefixes:\n  v4: 100.64.0.0/16\n  v6: fd7a:115c:a1e0::/64\n"
         "  allocation: sequential\n"
         "database:\n  type: sqlite3\n  sqlite: {path: hs.db, "
         "write_ahead_log: true}\n"
         "policy: {mode: file, path: policy.hujson, open: true}\n"
         "node:\n  expiry: 180d\n  ephemeral:\n"
         "    inactivity_timeout: 1h30m\n"
         "log: {level: debug, format: json}\n");
    assert_int_equal(c.listen.n, 2);
    assert_string_equal(addr(&c.listen.at[1]), "[::1]:8080");
    assert_string_equal(addr(&c.metrics), "127.0.0.1:9090");
    assert_int_equal(c.n_proxies, 3);
    assert_int_equal(c.proxies[2].bits, 32);
    assert_int_equal(c.handshake_rate, 1);
    assert_int_equal(c.handshake_burst, 65535);
    assert_string_equal(c.unix_socket, "/etc/remora/../run/hs.sock");
    assert_int_equal(c.unix_socket_mode, 0770);
    assert_string_equal(c.tls_cert, "/etc/remora/cert.pem");
    assert_string_equal(c.tls_key, "/k/key.pem");
    assert_string_equal(c.noise_key, "/etc/remora/noise.key");
    assert_string_equal(c.database, "/etc/remora/hs.db");
    assert_int_equal(c.v4.bits, 16);
    assert_int_equal(c.v6.bits, 64);
    assert_false(c.policy_in_database);
    assert_true(c.open);
    assert_string_equal(c.policy, "/etc/remora/policy.hujson");
    assert_int_equal(c.node_expiry, 180ULL * 86400 * RMR_SEC);
    assert_int_equal(c.ephemeral_timeout, 5400 * RMR_SEC);
    assert_int_equal(c.log_level, RMR_LOG_DEBUG);
    assert_true(c.log_json);
    cli_coord_config_free(&c);
}

static void test_paths_below_the_state_directory(void **state)
{
    (void)state;
    good(BASE "state_dir: here\n");
    assert_string_equal(c.unix_socket, "/etc/remora/here/coordinator.sock");
    assert_string_equal(c.database, "/etc/remora/here/coordinator.db");
    assert_string_equal(c.noise_key, "/etc/remora/here/noise_private.key");
    assert_string_equal(c.derp.server.private_key_path,
                        "/etc/remora/here/derp_private.key");
    cli_coord_config_free(&c);
}

static void test_dns(void **state)
{
    (void)state;
    good(BASE "dns:\n"
              "  magic_dns: false\n"
              "  base_domain: Tail.example.test\n"
              "  override_local_dns: false\n"
              "  nameservers:\n"
              "    global: [9.9.9.9, \"2620:fe::fe\", https://dns.test/q]\n"
              "    split:\n"
              "      corp.test: [192.0.2.53, 192.0.2.54]\n"
              "      lab.test: 192.0.2.55\n"
              "  search_domains: [example.test]\n"
              "  extra_records:\n"
              "    - {name: wiki.test, type: A, value: 100.64.0.7}\n"
              "    - name: wiki.test\n      value: \"fd7a:115c:a1e0::7\"\n"
              "      type: AAAA\n");
    assert_true(c.dns.off && c.dns.fallback);
    assert_string_equal(c.base_domain, "Tail.example.test");
    assert_int_equal(c.dns.n_resolvers, 3);
    assert_string_equal(c.dns.resolvers[2], "https://dns.test/q");
    assert_int_equal(c.dns.n_routes, 2);
    assert_string_equal(c.dns.routes[0].domain, "corp.test");
    assert_int_equal(c.dns.routes[0].n_resolvers, 2);
    assert_string_equal(c.dns.routes[1].resolvers[0], "192.0.2.55");
    assert_int_equal(c.dns.n_search, 1);
    assert_int_equal(c.dns.n_records, 2);
    assert_string_equal(c.dns.records[1].value, "fd7a:115c:a1e0::7");
    cli_coord_config_free(&c);
}

static void test_derp(void **state)
{
    (void)state;
    good(BASE "derp:\n"
              "  server:\n"
              "    enabled: true\n"
              "    region_id: 7\n"
              "    region_code: home\n"
              "    region_name: \"At home\"\n"
              "    listen_addr: 0.0.0.0:3340\n"
              "    stun_listen_addr: \"[::]:3478\"\n"
              "    private_key_path: derp.key\n"
              "    ipv4: 192.0.2.1\n"
              "    ipv6: 2001:db8::1\n"
              "    verify_clients: false\n"
              "    automatically_add_embedded_derp_region: false\n"
              "  paths: [a.yaml, /b.json]\n"
              "  urls: []\n");
    assert_true(c.derp.server.enabled);
    assert_int_equal(c.derp.server.region_id, 7);
    assert_string_equal(c.derp.server.region_name, "At home");
    assert_string_equal(addr(&c.derp.server.stun_listen_addr), "[::]:3478");
    assert_string_equal(c.derp.server.private_key_path, "/etc/remora/derp.key");
    assert_int_equal(c.derp.server.ipv6.family, RMR_AF_INET6);
    assert_false(c.derp.server.verify_clients || c.derp.server.add_region);
    assert_int_equal(c.derp.paths.n, 2);
    assert_string_equal(c.derp.paths.at[0], "/etc/remora/a.yaml");
    assert_string_equal(c.derp.paths.at[1], "/b.json");
    cli_coord_config_free(&c);
}

/* Empty settings, and those of other things that are off, are as if they were
 * not there; JSON is YAML. */
static const char *const accepted[] = {
    BASE "policy:\nderp:\n  paths: []\n  urls:\n",
    BASE "metrics_listen_addr: \"\"\ntls_cert_path: ''\ntls_key_path: ~\n",
    BASE "tls_letsencrypt_hostname: \"\"\nacme_email: \"\"\n"
         "tls_letsencrypt_listen: \":http\"\nacme_url: https://acme.test\n",
    BASE "disable_check_updates: true\nlogtail:\n  enabled: false\n",
    BASE "grpc_listen_addr: 127.0.0.1:50443\ngrpc_allow_insecure: false\n",
    BASE "database: {type: sqlite, debug: false, gorm: {a: [b, {c: d}]}}\n",
    BASE "randomize_client_port: false\ntaildrop: {enabled: true}\n",
    BASE "tuning: {node_store_batch_size: 10}\noidc:\ncli:\n",
    BASE "node: {expiry: 0, routes: {ha: {probe_interval: 10s}}}\n",
    BASE "ephemeral_node_inactivity_timeout: 30m\n",
    BASE "prefixes:\n  v6: fd7a:115c:a1e0::/48\n",
    BASE "policy: {mode: file}\n",
    BASE "policy: {mode: database}\n",
    "{\"server_url\": \"http://127.0.0.1:1\", \"listen_addr\": "
    "\"127.0.0.1:1\"}",
    "---\n" BASE,
};

static void test_what_is_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++) {
        good(accepted[i]);
        cli_coord_config_free(&c);
    }
}

static void test_one_prefix_is_no_other(void **state)
{
    (void)state;
    good(BASE "prefixes:\n  v6: fd7a:115c:a1e0::/48\n");
    assert_int_equal(c.v4.family, RMR_AF_NONE);
    assert_int_equal(c.v6.family, RMR_AF_INET6);
    cli_coord_config_free(&c);
}

/* ---- what is wrong ------------------------------------------------------- */

static const struct {
    const char *text, *says;
} wrong[] = {
    /* names */
    {BASE "lisen_addr: x\n",
     "coordinator.yaml, line 3: 'lisen_addr' is no setting; the nearest is "
     "'listen_addr'"},
    {BASE "\n\ndns:\n  base_domian: x\n",
     "line 6: 'dns.base_domian' is no setting; the nearest is "
     "'dns.base_domain'"},
    {BASE "base_domain: x\n", "the nearest is 'dns.base_domain'"},
    {BASE "private_key_path: x\n", "the nearest is 'noise.private_key_path'"},
    {BASE "dns:\n  nameserver:\n    global: [9.9.9.9]\n",
     "'dns.nameserver' is no setting; the nearest is 'dns.nameservers"},
    {BASE "server_url_: x\n", "the nearest is 'server_url'"},
    {BASE "derp:\n  server:\n    stun_listen_address: 0.0.0.0:3478\n",
     "the nearest is 'derp.server.stun_listen_addr'"},
    {BASE
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: x\n",
     "is no setting"},
    {BASE "listen_addr: 127.0.0.1:1\n", "line 3: 'listen_addr' was set before"},
    {BASE "? [a]\n: b\n", "takes a text"},
    /* shapes */
    {BASE "- x\n", "this is no YAML"},
    {"- x\n", "settings are lines such as"},
    {"x\n", "settings are lines such as"},
    {BASE "---\n" BASE, "one document is enough"},
    {BASE "server_url: [a]\n", "was set before"},
    {"server_url: [a]\n", "'server_url' takes a text"},
    {BASE "dns: x\n", "'dns' holds settings"},
    {BASE "log: {level: {a: b}}\n", "'log.level' takes a text"},
    {BASE "limits: {handshakes_per_second: 0}\n", "from 1 to 65535"},
    {BASE "limits: {handshakes_at_once: 65536}\n", "from 1 to 65535"},
    {BASE "trusted_proxies: [[10.0.0.0/8]]\n", "takes a text"},
    {BASE "log: &a {level: info}\nnode: *a\n", "'node' holds settings"},
    {BASE "log: {level: \"in\\0fo\"}\n", "holds a zero byte"},
    {"", "'server_url' is missing"},
    {"# nothing\n", "'server_url' is missing"},
    {"server_url: https://a\n", "'listen_addr' is missing"},
    {"listen_addr: 1.2.3.4:5\n", "'server_url' is missing"},
    /* values */
    {"server_url: hs.example.test\nlisten_addr: 1.2.3.4:5\n",
     "'server_url' takes the URL by which nodes reach this server, such as "
     "https://coordinator.example.com, without a path, not 'hs.example.test'"},
    {"server_url: https://a/b\nlisten_addr: 1.2.3.4:5\n", "without a path"},
    {"server_url: ftp://a\nlisten_addr: 1.2.3.4:5\n", "without a path"},
    {"server_url: https://a\nlisten_addr: \":8080\"\n",
     "line 2: 'listen_addr' takes an address and a port to listen at, such as "
     "0.0.0.0:8080 or [::]:8080, not ':8080'"},
    {"server_url: https://a\nlisten_addr: [1.2.3.4:5, x]\n", "not 'x'"},
    {"server_url: https://a\nlisten_addr: [0.0.0.0:1, 0.0.0.0:2, 0.0.0.0:3, "
     "0.0.0.0:4, 0.0.0.0:5, 0.0.0.0:6, 0.0.0.0:7, 0.0.0.0:8, 0.0.0.0:9]\n",
     "at most 8"},
    {BASE "metrics_listen_addr: 9090\n", "such as 127.0.0.1:9090, not '9090'"},
    {BASE "trusted_proxies: [proxy.test]\n", "not 'proxy.test'"},
    {BASE "trusted_proxies: [0.0.0.0/0]\n", "would believe everybody"},
    {BASE "trusted_proxies: [\"::/0\"]\n", "would believe everybody"},
    {BASE "unix_socket_permission: 777777\n", "octal digits"},
    {BASE "unix_socket_permission: \"0070\"\n", "octal digits"},
    {BASE "unix_socket_permission: rwx\n", "octal digits"},
    {BASE "unix_socket: /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
     "103 bytes are allowed"},
    {BASE "tls_cert_path: a\n", "belong together"},
    {BASE "tls_key_path: a\n", "belong together"},
    {"server_url: http://a\nlisten_addr: 1.2.3.4:5\ntls_cert_path: a\n"
     "tls_key_path: b\n",
     "must begin with https://"},
    {BASE "prefixes: {v4: 10.0.0.0/8}\n", "within 100.64.0.0/10"},
    {BASE "prefixes: {v4: 100.64.0.0/8}\n", "within 100.64.0.0/10"},
    {BASE "prefixes: {v4: 100.64.0.0/29}\n", "at most 28 bits"},
    {BASE "prefixes: {v4: 100.64.0.1/16}\n", "without host bits"},
    {BASE "prefixes: {v4: \"fd7a:115c:a1e0::/48\"}\n", "line 3: 'prefixes.v4'"},
    {BASE "prefixes: {v6: 100.64.0.0/10}\n", "'prefixes.v6' takes a prefix"},
    {BASE "prefixes: {v6: \"fd00::/48\"}\n", "within fd7a:115c:a1e0::/48"},
    {BASE "prefixes: {v6: \"fd7a:115c:a1e0::/120\"}\n", "at most 112 bits"},
    {BASE "prefixes: {v6: \"fd7a:115c:a1e0::1/64\"}\n", "without host bits"},
    {BASE "prefixes: {allocation: random}\n",
     "'prefixes.allocation' can be sequential alone here"},
    {BASE "database: {type: postgres}\n", "'database.type' can be sqlite"},
    {BASE "database: {postgres: {host: x}}\n", "a file of SQLite"},
    {BASE "database: {sqlite: {write_ahead_log: false}}\n", "true alone"},
    {BASE "policy: {mode: files}\n", "takes file or database, not 'files'"},
    {BASE "policy: {mode: database, path: x}\n", "leave one out"},
    {BASE "policy: {open: yes}\n", "takes true or false, not 'yes'"},
    {BASE "node: {expiry: 3}\n", "a time such as 180d or 12h"},
    {BASE "node: {expiry: -1h}\n", "a time such as"},
    {BASE "node: {expiry: 1h30}\n", "a time such as"},
    {BASE "node: {expiry: 1 h}\n", "a time such as"},
    {BASE "node: {expiry: 101y}\n", "a time such as"},
    {BASE "node: {expiry: 99999999999999999999s}\n", "a time such as"},
    {BASE "node: {ephemeral: {inactivity_timeout: 0}}\n", "more than 0"},
    {BASE "log: {level: loud}\n",
     "'log.level' takes off, error, warn, info, debug or trace, not 'loud'"},
    {BASE "log: {format: xml}\n", "text or json"},
    {BASE "dns: {base_domain: example.test}\n", "nor contain, the host"},
    {BASE "dns: {base_domain: HS.example.test}\n", "nor contain, the host"},
    {BASE "dns: {base_domain: -a.test}\n", "'dns.base_domain' takes a domain"},
    {BASE "dns: {base_domain: a..test}\n", "'dns.base_domain' takes a domain"},
    {BASE "dns: {base_domain: a.test.}\n", "'dns.base_domain' takes a domain"},
    {BASE "dns: {nameservers: {global: [dns.test]}}\n", "not 'dns.test'"},
    {BASE "dns: {nameservers: {global: [\"https:///q\"]}}\n", "name servers"},
    {BASE "dns: {nameservers: {split: [a]}}\n", "takes domains"},
    {BASE "dns: {nameservers: {split: {a b: [9.9.9.9]}}}\n", "takes domains"},
    {BASE "dns: {nameservers: {split: {a.test: [x]}}}\n", "not 'x'"},
    {BASE "dns: {search_domains: [\"a b\"]}\n", "takes domains, not 'a b'"},
    {BASE "dns:\n  extra_records:\n    - {name: a.test, type: A}\n",
     "line 5: a record has name, type and value"},
    {BASE "dns: {extra_records: [{name: a.test, type: MX, value: b}]}\n",
     "A or AAAA, not 'MX'"},
    {BASE "dns: {extra_records: [{name: a.test, type: A, value: \"::1\"}]}\n",
     "an address of IPv4"},
    {BASE "dns: {extra_records: [{nam: a.test}]}\n", "not 'nam'"},
    {BASE "dns: {extra_records: {a: b}}\n", "takes a list of records"},
    {BASE "dns: {extra_records: [x]}\n", "takes a list of records"},
    {BASE "dns: {extra_records: [{name: a.test, type: A, value: 1.2.3.4}], "
          "extra_records_path: b}\n",
     "not both"},
    {BASE "derp: {server: {enabled: true}}\n",
     "needs 'derp.server.listen_addr'"},
    {BASE "derp: {server: {region_id: 0}}\n", "from 1 to 65535, not '0'"},
    {BASE "derp: {server: {region_id: 65536}}\n", "from 1 to 65535"},
    {BASE "derp: {server: {ipv4: \"::1\"}}\n", "without a port"},
    {BASE "derp: {urls: [https://a.test/derpmap]}\n",
     "'derp.urls' is refused: a map is not fetched here"},
    {BASE "oidc: {issuer: https://a}\n", "not by sign-in"},
    {BASE "tls_letsencrypt_hostname: a.test\n", "tls_cert_path"},
    {BASE "logtail: {enabled: true}\n", "'logtail.enabled' can be false alone"},
};

static void test_what_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (parse(wrong[i].text)) {
            fail_msg("taken: %s", wrong[i].text);
        }
        if (strstr(c.error, wrong[i].says) == NULL ||
            strchr(c.error, '\n') != NULL) {
            fail_msg("'%s' of:\n%s", c.error, wrong[i].text);
        }
        cli_coord_config_free(&c);
    }
}

/* A value in an error is cut, and nested ones are not followed for ever. */
static void test_long_and_deep(void **state)
{
    static char text[70000];
    (void)state;
    (void)snprintf(text, sizeof text, "%slog: {level: ", BASE);
    memset(text + strlen(text), 'x', 60000);
    (void)strcat(text, "}\n");
    assert_false(parse(text));
    assert_true(strlen(c.error) < sizeof c.error - 1);
    cli_coord_config_free(&c);
    memset(text, 0, sizeof text);
    (void)snprintf(text, sizeof text, "%stuning: ", BASE);
    memset(text + strlen(text), '[', 40);
    memset(text + strlen(text), ']', 40);
    assert_false(parse(text));
    assert_non_null(strstr(c.error, "nested too deep"));
    cli_coord_config_free(&c);
}

static void test_long_lists(void **state)
{
    static char text[16384];
    size_t n = 0;
    (void)state;
    n = (size_t)snprintf(text, sizeof text, "%strusted_proxies:\n", BASE);
    for (int i = 0; i < 300; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "- 10.0.%d.%d\n",
                              i / 256, i % 256);
    }
    good(text);
    assert_int_equal(c.n_proxies, 300);
    assert_int_equal(c.proxies[299].ip[2], 1);
    assert_int_equal(c.proxies[299].ip[3], 43);
    assert_int_equal(c.proxies[0].ip[3], 0);
    cli_coord_config_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_settings_are_enough),
        cmocka_unit_test(test_each_setting),
        cmocka_unit_test(test_paths_below_the_state_directory),
        cmocka_unit_test(test_dns),
        cmocka_unit_test(test_derp),
        cmocka_unit_test(test_what_is_accepted),
        cmocka_unit_test(test_one_prefix_is_no_other),
        cmocka_unit_test(test_what_is_wrong),
        cmocka_unit_test(test_long_and_deep),
        cmocka_unit_test(test_long_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
