/* The DERP map out of files and of the relay in the process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "coord_derpmap.h"

static char dir[64], paths[3][96], error[640];
static const char *names[3] = {paths[0], paths[1], paths[2]};
static cli_coord_config config;
#define server config.derp.server
static cli_derp_own own;

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/remora-derpmap-XXXXXX");
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(paths[i], sizeof paths[i], "%s/%zu.yaml", dir, i);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        (void)unlink(paths[i]);
    }
    return rmdir(dir);
}

static void write_file(size_t i, const char *text)
{
    FILE *f = fopen(paths[i], "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static char *map_of(size_t n, const cli_derp_own *o)
{
    cli_file f = {NULL, 0};
    char *json = NULL;
    config.derp.paths.at = names;
    config.derp.paths.n = n;
    error[0] = '\0';
    bool ok = cli_coord_derp_map(&config, o, &f, error, sizeof error);
    assert_true(ok == (error[0] == '\0'));
    if (ok) {
        json = strndup((const char *)f.data, f.len);
        assert_non_null(json);
    }
    cli_file_free(&f);
    return json;
}

static void expect(size_t n, const cli_derp_own *o, const char *want)
{
    char *json = map_of(n, o);
    if (json == NULL) {
        fail_msg("%s", error);
    }
    assert_string_equal(json, want);
    free(json);
}

/* The sentence behind the file's name. */
static void expect_fault(const char *text, const char *want)
{
    write_file(0, text);
    assert_null(map_of(1, NULL));
    assert_memory_equal(error, paths[0], strlen(paths[0]));
    assert_string_equal(error + strlen(paths[0]), want);
}

static void without_files_there_is_no_region(void **state)
{
    (void)state;
    expect(0, NULL, "{\"Regions\":{}}");
    write_file(0, "{}");
    expect(1, NULL, "{\"Regions\":{}}");
    write_file(0, "---\nregions:\n");
    expect(1, NULL, "{\"Regions\":{}}");
}

#define HOME                                                                   \
    "{\"RegionCode\":\"home\",\"RegionName\":\"Home\",\"RegionID\":900,"       \
    "\"Nodes\":[{\"Name\":\"900a\",\"HostName\":\"relay.example.test\","       \
    "\"IPv4\":\"198.51.100.7\",\"IPv6\":\"none\",\"STUNPort\":-1,"             \
    "\"DERPPort\":443,\"RegionID\":900}]}"

static const char home[] = "regions:\n"
                           "  900:\n"
                           "    regionid: 900\n"
                           "    regioncode: home\n"
                           "    regionname: Home\n"
                           "    nodes:\n"
                           "      - name: 900a\n"
                           "        regionid: 900\n"
                           "        hostname: relay.example.test\n"
                           "        ipv4: 198.51.100.7 # of the house\n"
                           "        ipv6: none\n"
                           "        stunport: -1\n"
                           "        derpport: 443\n";

static void headscales_file_becomes_what_clients_get(void **state)
{
    (void)state;
    write_file(0, home);
    expect(1, NULL, "{\"Regions\":{\"900\":" HOME "}}");
}

/* As the vendor serves it: tabs and all. */
static void the_clients_form_is_taken_too(void **state)
{
    (void)state;
    write_file(0, "{\n\t\"Regions\": {\n\t\t\"900\": {\n"
                  "\t\t\t\"RegionID\": 900,\n\t\t\t\"RegionCode\": \"home\",\n"
                  "\t\t\t\"RegionName\": \"Home\",\n\t\t\t\"Nodes\": [{\n"
                  "\t\t\t\t\"Name\": \"900a\", \"RegionID\": 900,\n"
                  "\t\t\t\t\"HostName\": \"relay.example.test\",\n"
                  "\t\t\t\t\"IPv4\": \"198.51.100.7\", \"IPv6\": \"none\",\n"
                  "\t\t\t\t\"STUNPort\": -1, \"DERPPort\": 443\n"
                  "\t\t\t}]\n\t\t}\n\t}\n}\n");
    expect(1, NULL, "{\"Regions\":{\"900\":" HOME "}}");
}

static void every_field_is_passed_on(void **state)
{
    (void)state;
    write_file(0, "homeparams: {regionscore: {7: 1.5}}\n"
                  "omitdefaultregions: true\n"
                  "regions:\n"
                  "  7: {regioncode: a, avoid: true, nomeasurenohome: false,\n"
                  "      latitude: 1.5, longitude: -2, nodes: [{name: 7a,\n"
                  "      hostname: h, certname: c.test, stunonly: true,\n"
                  "      insecurefortests: true, stuntestip: 127.0.0.1,\n"
                  "      canport80: false}]}\n");
    expect(1, NULL,
           "{\"HomeParams\":{\"RegionScore\":{\"7\":1.5}},\"Regions\":{\"7\":{"
           "\"RegionCode\":\"a\",\"Avoid\":true,\"NoMeasureNoHome\":false,"
           "\"Latitude\":1.5,\"Longitude\":-2,\"RegionID\":7,\"Nodes\":[{"
           "\"Name\":\"7a\",\"HostName\":\"h\",\"CertName\":\"c.test\","
           "\"STUNOnly\":true,\"InsecureForTests\":true,"
           "\"STUNTestIP\":\"127.0.0.1\",\"CanPort80\":false,"
           "\"RegionID\":7}]}}}");
}

static void a_later_region_replaces_an_earlier_one(void **state)
{
    (void)state;
    write_file(0,
               "regions:\n  5: {regioncode: old}\n  9: {regioncode: nine}\n");
    write_file(1, "regions:\n  5: {regioncode: new}\n  2: {regioncode: two}\n"
                  "  9: null\n");
    expect(2, NULL,
           "{\"Regions\":{"
           "\"2\":{\"RegionCode\":\"two\",\"RegionID\":2,\"Nodes\":[]},"
           "\"5\":{\"RegionCode\":\"new\",\"RegionID\":5,\"Nodes\":[]},"
           "\"9\":{\"RegionCode\":\"nine\",\"RegionID\":9,\"Nodes\":[]}}}");
}

static void own_relay(void)
{
    memset(&server, 0, sizeof server);
    memset(&own, 0, sizeof own);
    server.enabled = server.add_region = true;
    server.region_id = 999;
    server.region_code = "remora";
    server.region_name = "Remora \"R\"";
    assert_int_equal(
        rmr_addr_parse(rmr_bytes_str("0.0.0.0:3340"), &server.listen_addr),
        RMR_OK);
    own.host = "hs.example.test";
}

static void the_relay_here_is_a_region(void **state)
{
    char want[640], hex[65];
    (void)state;
    own_relay();
    expect(0, &own,
           "{\"Regions\":{\"999\":{\"RegionID\":999,\"RegionCode\":\"remora\","
           "\"RegionName\":\"Remora \\\"R\\\"\",\"Nodes\":[{\"Name\":\"999\","
           "\"RegionID\":999,\"HostName\":\"hs.example.test\",\"STUNPort\":-1,"
           "\"DERPPort\":3340}]}}}");
    own.pinned = true;
    for (size_t i = 0; i < 32; i++) {
        own.pin[i] = (uint8_t)(0xa0 + i);
        (void)snprintf(hex + 2 * i, 3, "%02x", (unsigned)own.pin[i]);
    }
    (void)rmr_addr_parse(rmr_bytes_str("[::]:3479"), &server.stun_listen_addr);
    (void)rmr_addr_parse_ip(rmr_bytes_str("192.0.2.9"), &server.ipv4);
    (void)rmr_addr_parse_ip(rmr_bytes_str("2001:db8::9"), &server.ipv6);
    (void)snprintf(
        want, sizeof want,
        "{\"Regions\":{\"999\":{\"RegionID\":999,\"RegionCode\":\"remora\","
        "\"RegionName\":\"Remora \\\"R\\\"\",\"Nodes\":[{\"Name\":\"999\","
        "\"RegionID\":999,\"HostName\":\"hs.example.test\",\"CertName\":"
        "\"sha256-raw:%s\",\"IPv4\":\"192.0.2.9\",\"IPv6\":\"2001:db8::9\","
        "\"STUNPort\":3479,\"DERPPort\":3340}]}}}",
        hex);
    expect(0, &own, want);
    server.add_region = false;
    expect(0, &own, "{\"Regions\":{}}");
}

static void a_host_that_is_an_address_is_said_as_one(void **state)
{
    (void)state;
    own_relay();
    own.host = "192.0.2.7";
    (void)rmr_addr_parse_ip(rmr_bytes_str("2001:db8::9"), &server.ipv6);
    char *json = map_of(0, &own);
    assert_non_null(json);
    assert_non_null(strstr(json, "\"HostName\":\"192.0.2.7\",\"IPv4\":"
                                 "\"192.0.2.7\",\"IPv6\":\"2001:db8::9\""));
    free(json);
}

static void the_relay_here_comes_last(void **state)
{
    (void)state;
    own_relay();
    write_file(0, "regions:\n  999: {regioncode: theirs}\n");
    char *json = map_of(1, &own);
    assert_non_null(json);
    assert_null(strstr(json, "theirs"));
    assert_non_null(strstr(json, "hs.example.test"));
    free(json);
}

static void faults_are_told_with_their_lines(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"regions: [1]", ", line 1: 'regions' is a mapping by numbers"},
        {"- a", ", line 1: a DERP map is a mapping of fields"},
        {"", ", line 1: the file is empty; {} is a map without regions"},
        {"\nregion: {}", ", line 2: a DERP map has no field 'region'"},
        {"regions:\n  x: {}",
         ", line 2: a region's key is its number, 1 to 65535"},
        {"regions:\n  0: {}",
         ", line 2: a region's key is its number, 1 to 65535"},
        {"regions:\n  1: {}\n  1: {}", ", line 3: region 1 is said twice"},
        {"regions:\n  1:\n    regionid: 2",
         ", line 3: RegionID is that of its region, 1"},
        {"regions:\n  1:\n    regoincode: a",
         ", line 3: a region has no field 'regoincode'"},
        {"regions:\n  1:\n    avoid: yes",
         ", line 3: 'Avoid' is true or false, not 'yes'"},
        {"regions:\n  1:\n    latitude: north",
         ", line 3: 'Latitude' is a number, not 'north'"},
        {"regions:\n  1:\n    latitude: inf",
         ", line 3: 'Latitude' is a number, not 'inf'"},
        {"regions:\n  1:\n    nodes: {}", ", line 3: 'nodes' is a list"},
        {"regions:\n  1:\n    nodes:\n    - hostname: h",
         ", line 4: a node needs a 'name', such as 1a"},
        {"regions:\n  1:\n    nodes:\n    - name: 1a",
         ", line 4: a node needs a 'hostname'"},
        {"regions:\n  1:\n    nodes:\n    - {name: 1a, hostname: h,\n"
         "       stunport: 65536}",
         ", line 5: 'STUNPort' is a port, 0 to 65535, or -1, not '65536'"},
        {"regions:\n  1:\n    nodes:\n    - {name: 1a, hostname: h,\n"
         "       derpport: -1}",
         ", line 5: 'DERPPort' is a port, 0 to 65535, not '-1'"},
        {"regions:\n  1:\n    nodes:\n    - {name: 1a, hostname: h,\n"
         "       ipv4: \"::1\"}",
         ", line 5: 'IPv4' is an IPv4 address, or \"none\", not '::1'"},
        {"regions:\n  1:\n    nodes:\n    - {name: 1a, hostname: h,\n"
         "       name: 1b}",
         ", line 5: 'Name' is said twice"},
        {"regions:\n  1:\n    nodes:\n    - {name: 1a, hostname: [h]}",
         ", line 4: 'HostName' is a text, not ''"},
        {"regions:\n  1:\n    nodes:\n    - {name: 1a, hostname: h,\n"
         "       certname: \"sha256-raw:AA\"}",
         ", line 5: 'CertName' is sha256-raw: and 64 small hex digits, not "
         "'sha256-raw:AA'"},
        {"homeparams:\n  regionscore: {1: a}",
         ", line 2: '1' is a number, not 'a'"},
        {"regions:\n  1: *nobody",
         ", line 2: this is no YAML: found undefined alias"},
        {"regions: {", ", line 2: this is no YAML: did not find expected node "
                       "content"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect_fault(cases[i].text, cases[i].want);
    }
    (void)unlink(paths[0]);
    assert_null(map_of(1, NULL));
    assert_non_null(strstr(error, "can't read"));
}

/* Aliases make much of little: bounded. */
static void a_map_that_grows_is_refused(void **state)
{
    static char text[64 * 1024];
    size_t n = 0;
    (void)state;
    n += (size_t)snprintf(text + n, sizeof text - n,
                          "regions:\n  1: &r\n    nodes:\n");
    for (int i = 0; i < 65; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "    - {name: %d, hostname: h}\n", i);
    }
    expect_fault(text, ", line 4: a region has at most 64 nodes");
    n = (size_t)snprintf(text, sizeof text, "regions:\n  1: &r {}\n");
    for (int i = 2; i <= 1025; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "  %d: *r\n", i);
    }
    write_file(0, text);
    assert_null(map_of(1, NULL));
    assert_string_equal(error, "a DERP map has at most 1024 regions");
    write_file(0, "regions:\n  1: &r\n    nodes: [*r]\n");
    assert_null(map_of(1, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_files_there_is_no_region),
        cmocka_unit_test(headscales_file_becomes_what_clients_get),
        cmocka_unit_test(the_clients_form_is_taken_too),
        cmocka_unit_test(every_field_is_passed_on),
        cmocka_unit_test(a_later_region_replaces_an_earlier_one),
        cmocka_unit_test(the_relay_here_is_a_region),
        cmocka_unit_test(a_host_that_is_an_address_is_said_as_one),
        cmocka_unit_test(the_relay_here_comes_last),
        cmocka_unit_test(faults_are_told_with_their_lines),
        cmocka_unit_test(a_map_that_grows_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
