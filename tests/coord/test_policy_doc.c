/* Documents: where the fault is, what is bounded, what is refused beside the
 * captured ones. */
#include "pol_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support.h"

typedef struct refusal {
    const char *policy, *text;
    uint32_t line, column;
} refusal;

static rmr_err parse(const char *text, rmr_pol_why *why)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    rmr_pol *pol = NULL;
    memset(why, 0, sizeof *why);
    rmr_err err = rmr_pol_parse(&pol, &a, rmr_bytes_str(text), why);
    assert_int_equal(err == RMR_OK, pol != NULL);
    rmr_pol_free(pol);
    assert_int_equal(ta.live_bytes, 0);
    return err;
}

#define AT "parsing policy: parsing HuJSON: hujson: "
#define AS                                                                     \
    "parsing policy: parsing policy from bytes: json: cannot unmarshal JSON "

static const refusal refusals[] = {
    /* where the fault is */
    {"{\n  // a comment \"acls\"\n  \"acls\": [\n    {\"action\": \"accept\",\n"
     "     \"src\": [\"*\", \"group:no\\\"ne\"], \"dst\": [\"*:*\"]}]}",
     "parsing policy: group not defined in policy: \"group:no\\\"ne\"", 5, 19},
    {"{\"acls\":[],\n \"hosts\":{\"a\":\"1.2.3.4\"},\n \"bad\": 12\n}",
     "parsing policy: unknown field: \"bad\"", 3, 9},
    {"{\"acls\":[\n{\"action\":true}]}",
     AS "boolean into Go v2.Action within \"/acls/0/action\"", 2, 11},
    {"{\"randomizeClientPort\":\n null, \"acls\":\n -1.5e3\n}",
     AS "number into Go []v2.ACL within \"/acls\"", 3, 2},
    {"[\n]", AS "array into Go v2.Policy", 1, 1},
    /* no JSON */
    {"", "parsing policy: the policy is empty", 1, 1},
    {" \n\t", "parsing policy: the policy is empty", 1, 1},
    {"{\"acls\":[]}\n }", AT "line 2, column 2: invalid character \"}\"", 2, 2},
    {"{\n\"acls\": nul}", AT "line 2, column 12: invalid character \"}\"", 2,
     12},
    {"{\"a\":\"\x01\"}", AT "line 1, column 7: invalid character \"\\x01\"", 1,
     7},
    {"{\"acls\":[] /* open",
     AT "line 1, column 19: parsing value: unexpected EOF", 1, 19},
    /* twice */
    {"{\"acls\":[],\n\"acls\":[]}",
     "parsing policy: parsing policy from bytes: jsontext: duplicate object "
     "member name \"acls\"",
     2, 8},
    {"{\"acls\":[],\n\"ACLs\":[]}",
     "parsing policy: parsing policy from bytes: jsontext: duplicate object "
     "member name \"ACLs\"",
     2, 8},
    {"{\"groups\":{\"group:a\":[],\"group:a\":[\"b@\"]}}",
     "parsing policy: parsing policy from bytes: jsontext: duplicate object "
     "member name \"group:a\"",
     1, 35},
    /* shapes */
    {"{\"groups\":{\"group:a\":[1]}}",
     AS "object into Go v2.Groups within \"/groups\": invalid group member "
        "type: group \"group:a\" expected string but got number",
     1, 11},
    {"{\"groups\":{\"group:a\":\"b@\"}}",
     AS "object into Go v2.Groups within \"/groups\": group value must be an "
        "array of users: group \"group:a\" got string",
     1, 11},
    {"{\"hosts\":{\"a:b\":\"10.0.0.1\"}}",
     AS "object into Go v2.Hosts within \"/hosts\": invalid hostname: \"a:b\"",
     1, 10},
    {"{\"tagOwners\":{\"x\":[]}}",
     AS "array into Go v2.Tag within \"/tagOwners/x\": tag must start with "
        "'tag:', got: \"x\"",
     1, 19},
    {"{\"tagOwners\":{\"tag:a\":[\"x\"]}}",
     AS "string into Go v2.OwnerEnc within \"/tagOwners/tag:a/0\": invalid "
        "owner format: \"x\"",
     1, 24},
    {"{\"acls\":[{\"action\":\"accept\",\"src\":[\"a:b\"],\"dst\":[]}]}",
     AS "string into Go v2.AliasEnc within \"/acls/0/src/0\": invalid alias "
        "format: \"a:b\"",
     1, 36},
    {"{\"acls\":[{\"action\":\"accept\",\"src\":[\"nohost\"],\"dst\":[]}]}",
     "parsing policy: host not defined in policy: \"nohost\"", 1, 36},
    {"{\"acls\":[{\"dst\":[\"[10.0.0.1]:22\"]}]}",
     AS "string into Go v2.AliasWithPorts within \"/acls/0/dst/0\": square "
        "brackets are only valid around IPv6 addresses: \"[10.0.0.1]:22\"",
     1, 18},
    {"{\"acls\":[{\"dst\":[\"*:\"]}]}",
     AS "string into Go v2.AliasWithPorts within \"/acls/0/dst/0\": input "
        "cannot end with a colon character",
     1, 18},
    {"{\"acls\":[{\"dst\":[\"*:1-2-3\"]}]}",
     AS "string into Go v2.AliasWithPorts within \"/acls/0/dst/0\": "
        "dst=\"*:1-2-3\": port range \"1-2-3\": invalid port range format",
     1, 18},
    {"{\"acls\":[{\"dst\":[\"*:22,\"]}]}",
     AS "string into Go v2.AliasWithPorts within \"/acls/0/dst/0\": "
        "dst=\"*:22,\": port range \"22,\": invalid first integer",
     1, 18},
    {"{\"acls\":[{\"dst\":[\"autogroup:x:22\"]}]}",
     AS "string into Go v2.AliasWithPorts within \"/acls/0/dst/0\": invalid "
        "autogroup: got \"autogroup:x\", must be one of [autogroup:internet "
        "autogroup:member autogroup:nonroot autogroup:tagged autogroup:self "
        "autogroup:danger-all]",
     1, 18},
    {"{\"acls\":[{\"proto\":\"007\"}]}",
     AS "string into Go v2.Protocol within \"/acls/0/proto\": leading 0 not "
        "permitted in protocol number: \"007\"",
     1, 19},
    {"{\"acls\":[{\"proto\":\"smtp\"}]}",
     AS "string into Go v2.Protocol within \"/acls/0/proto\": invalid protocol "
        "number: \"smtp\" must be a known protocol name or valid protocol "
        "number 0-255",
     1, 19},
    {"{\"grants\":[{\"ip\":[\"tcp:1:2\"]}]}",
     AS "string into Go v2.ProtocolPort within \"/grants/0/ip/0\": expected "
        "only one colon in Internet protocol and port type, got: tcp:1:2",
     1, 19},
    {"{\"grants\":[{\"src\":[\"*\"],\"dst\":[\"autogroup:internet\"],"
     "\"app\":{\"a.b/c\":[]}}]}",
     "parsing policy: cannot use app grants with autogroup:internet", 1, 32},
    {"{\"grants\":[{\"src\":[\"*\"],\"dst\":[\"*\"],\"ip\":[\"*\"],"
     "\"via\":[\"tag:x\"]}]}",
     "parsing policy: tag \"tag:x\" not found", 1, 55},
    {"{\"nodeAttrs\":[{\"target\":[\"autogroup:self\"],\"attr\":[\"x\"]}]}",
     "parsing policy: nodeAttrs target does not support this autogroup: "
     "\"autogroup:self\", can be [autogroup:member autogroup:tagged]",
     1, 26},
    {"{\"nodeAttrs\":[{\"target\":[\"*\"],\"ipPool\":[\"100.64.9.0/24\"]}]}",
     "parsing policy: nodeAttrs ipPool is not supported", 1, 40},
    {"{\"ssh\":[{\"action\":\"check\",\"src\":[\"a@\"],\"dst\":[\"a@\"],"
     "\"users\":[\"*\"],\"checkPeriod\":\"-1h1m\",\"acceptEnv\":[\" \"]}]}",
     "parsing policy: multiple errors:\n\tuser \"*\" is not valid\n\t"
     "acceptEnv values cannot be empty\n\t"
     "checkPeriod -1h1m0s must be a positive duration",
     1, 9},
    {"{\"ssh\":[{\"action\":\"check\",\"src\":[\"a@\"],\"dst\":[\"a@\"],"
     "\"users\":[\"x\"],\"checkPeriod\":\"1\"}]}",
     AS "string into Go v2.SSHCheckPeriod within \"/ssh/0/checkPeriod\": "
        "time: invalid duration \"1\"",
     1, 81},
    {"{\"tagOwners\":{\"tag:a\":[]},\"ssh\":[{\"src\":[\"tag:a\"],"
     "\"dst\":[\"b@\",\"autogroup:self\"],\"users\":[\"x\"]}]}",
     "parsing policy: multiple errors:\n\taction must be specified\n\ttags in "
     "SSH source cannot access user-owned devices (b@); use autogroup:tagged "
     "or specific tags as destinations instead",
     1, 34},
    {"{\"tests\":[{\"src\":\"a@\",\"proto\":\"icmp\",\"accept\":[\"b@:1-2\","
     "\"10.0.0.0/8:1\",\"autogroup:internet:1\"]}]}",
     "parsing policy: test(s) failed:\nmultiple errors:\n\ttest 0: test "
     "protocol must be tcp, udp, sctp, or empty: \"icmp\"\n\ttest 0, accept "
     "\"b@:1-2\": test destination port must be a single port\n\ttest 0, "
     "accept \"10.0.0.0/8:1\": test destination must be a single host, not a "
     "CIDR range\n\ttest 0, accept \"autogroup:internet:1\": "
     "autogroup:internet not valid as a test destination",
     1, 11},
    /* of each kind of place */
    {"{\"groups\":[]}", AS "array into Go v2.Groups within \"/groups\"", 1, 11},
    {"{\"hosts\":1}", AS "number into Go v2.Hosts within \"/hosts\"", 1, 10},
    {"{\"hosts\":{\"a\":[]}}", AS "array into Go string within \"/hosts/a\"", 1,
     15},
    {"{\"tagOwners\":false}",
     AS "boolean into Go v2.TagOwners within \"/tagOwners\"", 1, 14},
    {"{\"autoApprovers\":{\"routes\":[]}}",
     AS "array into Go map[netip.Prefix]v2.AutoApprovers within "
        "\"/autoApprovers/routes\"",
     1, 28},
    {"{\"autoApprovers\":{\"routes\":{\"10.0.0.0\":[\"a@\"]}}}",
     AS "array into Go netip.Prefix within \"/autoApprovers/routes/10.0.0.0\": "
        "invalid prefix: \"10.0.0.0\"",
     1, 40},
    {"{\"autoApprovers\":{\"exitNode\":[\"group:x\"]}}",
     "parsing policy: group not defined in policy: \"group:x\"", 1, 31},
    {"{\"randomizeClientPort\":\"yes\"}",
     AS "string into Go bool within \"/randomizeClientPort\"", 1, 24},
    {"{\"acls\":[{\"src\":[null]}]}",
     AS "null into Go v2.AliasEnc within \"/acls/0/src/0\"", 1, 18},
    {"{\"acls\":[{\"dst\":[\":22\"]}]}",
     AS "string into Go v2.AliasWithPorts within \"/acls/0/dst/0\": input "
        "cannot start with a colon character",
     1, 18},
    {"{\"acls\":[{\"dst\":[\"*:-\"]}]}",
     AS "string into Go v2.AliasWithPorts within \"/acls/0/dst/0\": "
        "dst=\"*:-\": port range \"-\": invalid port range format",
     1, 18},
    {"{\"acls\":[{\"dst\":[\"tag:1:22\"]}]}",
     AS "string into Go v2.AliasWithPorts within \"/acls/0/dst/0\": tag names "
        "must start with a letter, after 'tag:'",
     1, 18},
    {"{\"acls\":[{\"dst\":[\"a:b:22\"]}]}",
     AS "string into Go v2.AliasWithPorts within \"/acls/0/dst/0\": invalid "
        "alias format: \"a:b\"",
     1, 18},
    {"{\"acls\":[{\"dst\":[\"[fd7a::1\"]}]}",
     AS "string into Go v2.AliasWithPorts within \"/acls/0/dst/0\": square "
        "brackets are only valid around IPv6 addresses: \"[fd7a::1\"",
     1, 18},
    {"{\"acls\":[{\"proto\":\"99\",\"src\":[\"*\"],\"dst\":[\"*:1\"]}]}",
     "parsing policy: protocol does not support specific ports: \"99\", only "
     "\"*\" is allowed",
     1, 10},
    {"{\"acls\":[{\"src\":[\"*\"],\"dst\":[\"autogroup:nonroot:1\"]}]}",
     "parsing policy: autogroup not supported for ACL destinations: "
     "\"autogroup:nonroot\", can be [autogroup:internet autogroup:member "
     "autogroup:tagged autogroup:self]",
     1, 30},
    {"{\"grants\":[{\"ip\":[\"tcp:0\"]}]}",
     AS "string into Go v2.ProtocolPort within \"/grants/0/ip/0\": port range "
        "\"0\": first port must be >0, or use '*' for wildcard",
     1, 19},
    {"{\"grants\":[{\"app\":[]}]}",
     AS "array into Go tailcfg.PeerCapMap within \"/grants/0/app\"", 1, 19},
    {"{\"grants\":[{\"app\":{\"a.b/c\":{}}}]}",
     AS "object into Go []tailcfg.RawMessage within \"/grants/0/app/a.b~1c\"",
     1, 28},
    {"{\"ssh\":[{\"action\":\"deny\"}]}",
     AS "string into Go v2.SSHAction within \"/ssh/0/action\": \"deny\" is not "
        "a valid action",
     1, 19},
    {"{\"ssh\":[{\"src\":[\"*\"]}]}",
     AS "array into Go v2.SSHSrcAliases within \"/ssh/0/src\": alias not "
        "supported for SSH source: v2.Asterix",
     1, 16},
    {"{\"ssh\":[{\"src\":[\"h\"]}]}",
     AS "array into Go v2.SSHSrcAliases within \"/ssh/0/src\": alias not "
        "supported for SSH source: *v2.Host",
     1, 16},
    {"{\"ssh\":[{\"dst\":[\"group:g\"]}]}",
     AS "array into Go v2.SSHDstAliases within \"/ssh/0/dst\": alias not "
        "supported for SSH destination: *v2.Group",
     1, 16},
    {"{\"tagOwners\":{\"tag:a\":[]},\"ssh\":[{\"action\":\"accept\",\"src\":["
     "\"tag:a\",\"autogroup:internet\",\"autogroup:self\"],\"dst\":[\"h\","
     "\"autogroup:internet\",\"autogroup:nonroot\",\"autogroup:self\"],"
     "\"users\":[\"x\"]}]}",
     "parsing policy: multiple errors:\n\t"
     "autogroup:internet can only be used in ACL destinations\n\t"
     "autogroup not supported for SSH sources: \"autogroup:self\", can be "
     "[autogroup:member autogroup:tagged]\n\t"
     "invalid dst \"h\"\n\t"
     "autogroup:internet can only be used in ACL destinations\n\t"
     "autogroup not supported for SSH destinations: \"autogroup:nonroot\", can "
     "be [autogroup:member autogroup:tagged autogroup:self]\n\t"
     "autogroup:self destination requires source to contain only users or "
     "groups, not tags or autogroup:tagged",
     1, 68},
    {"{\"tagOwners\":{\"tag:a\":[]},\"ssh\":[{\"action\":\"accept\",\"src\":["
     "\"tag:a\"],\"dst\":[\"autogroup:member\"],\"users\":[\"x\"],"
     "\"checkPeriod\":\"2m\"}]}",
     "parsing policy: multiple errors:\n\ttags in SSH source cannot access "
     "autogroup:member (user-owned devices)\n\tcheckPeriod is only valid with "
     "action \"check\"",
     1, 76},
    {"{\"ssh\":[{\"action\":\"check\",\"src\":[\"a@\"],\"dst\":[\"a@\"],"
     "\"users\":[\"x\"],\"checkPeriod\":\"-2m\"}]}",
     "parsing policy: checkPeriod -2m0s must be a positive duration", 1, 9},
    {"{\"tests\":[{\"src\":\"a:b\"}]}",
     AS "string into Go v2.Alias within \"/tests/0/src\": invalid alias "
        "format: \"a:b\"",
     1, 18},
    {"{\"hosts\":{\"h\":\"10.0.0.0/8\"},\"tests\":[{\"src\":\"a@\",\"deny\":["
     "\"h:1\",\"b@:1,2\"]}]}",
     "parsing policy: test(s) failed:\nmultiple errors:\n\ttest 0, deny "
     "\"h:1\": test destination must be a single host, not a CIDR range\n\t"
     "test 0, deny \"b@:1,2\": test destination port must be a single port",
     1, 58},
    {"{\"sshTests\":[{\"src\":\"a@\"}]}",
     "parsing policy: test(s) failed:\nsshTest 0: SSH tests entry must have at "
     "least one dst",
     1, 14},
    {"{\"sshTests\":[{\"dst\":[\"tag:x\",\"10.0.0.0/8\"]}]}",
     "parsing policy: test(s) failed:\nmultiple errors:\n\tsshTest 0: SSH "
     "tests entry must have a non-empty src\n\tsshTest 0: SSH tests dst "
     "contains unknown tag \"tag:x\"\n\tsshTest 0: SSH tests dst contains "
     "disallowed element \"10.0.0.0/8\"",
     1, 14},
};

static void a_fault_has_its_place_and_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const refusal *r = &refusals[i];
        rmr_pol_why why;
        assert_int_equal(parse(r->policy, &why), RMR_E_MALFORMED);
        assert_string_equal(why.text, r->text);
        if (why.line != r->line || why.column != r->column)
            fail_msg("%s\nat %u:%u, want %u:%u", r->policy, why.line,
                     why.column, r->line, r->column);
    }
}

static void what_hujson_allows_is_read(void **state)
{
    static const char *const good[] = {
        "// first\n{/* a */\"acls\"/**/: [], // b\n}",
        "{\"acls\": null, \"groups\": null, \"autoApprovers\": {},}",
        "{\"tagOwners\":{\"tag:a\":[\"tag:b\"],\"tag:b\":[\"tag:a\",\"x@\"]}}",
        "{\"acls\":[{\"action\":\"accept\",\"proto\":\"TCP\",\"src\":[\" *\"],"
        "\"dst\":[\"[fd7a::1]/64:1-2,3\"]}]}",
        "{\"ssh\":[{\"action\":\"check\",\"src\":[\"a@\"],\"dst\":[\"a@\"],"
        "\"users\":[\"x\"],\"checkPeriod\":\"1.5h30m\"},"
        "{\"action\":\"check\",\"src\":[\"a@\"],\"dst\":[\"autogroup:self\"],"
        "\"users\":[\"x\"],\"checkPeriod\":\"always\"}]}",
        "{\"grants\":[{\"src\":[\"*\"],\"dst\":[\"*\"],\"app\":{\"a.b/c\":["
        "{\"x\":[1,-2.5e3,true,null,\"\\u00e9\\n\"]}]}}]}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        rmr_pol_why why;
        if (parse(good[i], &why))
            fail_msg("%s\n%s", good[i], why.text);
    }
}

static void size_and_depth_are_bounded(void **state)
{
    size_t n = RMR_POL_DOC_MAX + 2;
    char *big = malloc(n);
    rmr_pol_why why;
    (void)state;
    memset(big, ' ', n);
    memcpy(big, "{}", 2);
    big[n - 1] = '\0';
    assert_int_equal(parse(big, &why), RMR_E_TOOBIG);
    assert_string_equal(why.text, "parsing policy: the policy is too long");
    big[n - 2] = '\0';
    assert_int_equal(parse(big, &why), RMR_OK);
    memset(big, '[', 100);
    big[100] = '\0';
    assert_int_equal(parse(big, &why), RMR_E_TOOBIG);
    assert_string_equal(why.text,
                        "parsing policy: parsing HuJSON: hujson: line 1, "
                        "column 33: nested too deep");
    free(big);
}

/* A reason that is too long is cut at a character. */
static void long_reasons_are_cut(void **state)
{
    char doc[4096] = "{\"acls\":[{\"action\":\"accept\",\"src\":[";
    rmr_pol_why why;
    (void)state;
    for (int i = 0; i < 80; i++)
        strcat(doc, i ? ",\"h\xc3\xa9t\xc3\xa9-nonex\"" : "\"tag:x\"");
    strcat(doc, "],\"dst\":[\"*:*\"]}]}");
    assert_int_equal(parse(doc, &why), RMR_E_MALFORMED);
    assert_true(strlen(why.text) > RMR_POL_WHY_MAX - 80);
    assert_true(strlen(why.text) < RMR_POL_WHY_MAX);
    assert_int_equal(why.line, 1);
    json_t *utf8 = json_string(why.text); /* refuses bad UTF-8 */
    assert_non_null(utf8);
    json_decref(utf8);
}

static void a_rule_has_not_too_many_users(void **state)
{
    static char doc[16384];
    rmr_pol_why why;
    (void)state;
    for (int n = 1024; n <= 1025; n++) {
        strcpy(doc, "{\"ssh\":[{\"action\":\"accept\",\"src\":[\"a@\"],"
                    "\"dst\":[\"a@\"],\"users\":[");
        size_t len = strlen(doc);
        for (int i = 0; i < n; i++)
            len += (size_t)snprintf(doc + len, sizeof doc - len, "%s\"u%d\"",
                                    i ? "," : "", i);
        strcpy(doc + len, "]}]}");
        assert_int_equal(parse(doc, &why), n > 1024 ? RMR_E_MALFORMED : RMR_OK);
    }
    assert_string_equal(why.text, "parsing policy: ssh: more than 1024 users "
                                  "in one rule");
}

/* Every cut of a good document is refused or a document, and leaks nothing. */
static void every_cut_is_refused_without_harm(void **state)
{
    static const char doc[] =
        "{\"groups\":{\"group:a\":[\"x@\"]},\"hosts\":{\"h\":\"10.0.0.1\"},"
        "\"grants\":[{\"src\":[\"group:a\"],\"dst\":[\"h\"],\"ip\":[\"*\"],"
        "\"app\":{\"a.b/c\":[{\"d\":[1,2]}]}}]} // end";
    char cut[sizeof doc];
    (void)state;
    for (size_t n = 0; n < sizeof doc; n++) {
        rmr_pol_why why;
        memcpy(cut, doc, n);
        cut[n] = '\0';
        rmr_err err = parse(cut, &why);
        size_t end = (size_t)(strstr(doc, " //") - doc);
        assert_int_equal(err == RMR_OK, n >= end && n != end + 2);
        if (err)
            assert_true(why.line == 1 && why.column > 0);
    }
}

static void tags_are_defined_in_tag_owners(void **state)
{
    test_alloc ta = {0};
    rmr_alloc a = test_alloc_table(&ta);
    rmr_pol *pol;
    (void)state;
    assert_int_equal(
        rmr_pol_parse(&pol, &a,
                      rmr_bytes_str("{\"tagOwners\":{\"tag:c\":[],\"tag:a\":[],"
                                    "\"tag:b\":[\"x@\"]}}"),
                      NULL),
        RMR_OK);
    assert_true(rmr_pol_defines_tag(pol, rmr_bytes_str("tag:a")));
    assert_true(rmr_pol_defines_tag(pol, rmr_bytes_str("tag:b")));
    assert_true(rmr_pol_defines_tag(pol, rmr_bytes_str("tag:c")));
    assert_false(rmr_pol_defines_tag(pol, rmr_bytes_str("tag:d")));
    assert_false(rmr_pol_defines_tag(pol, rmr_bytes_str("tag:")));
    rmr_pol_free(pol);
    assert_int_equal(ta.live_bytes, 0);
}

/* What docs/policy.md shows: the blocks of jsonc. */
static void the_documentations_examples_are_taken(void **state)
{
    static char page[64 * 1024];
    rmr_pol_why why;
    int n = 0;
    (void)state;
    FILE *f = fopen(REMORA_VECTORS "/../../docs/policy.md", "rb");
    assert_non_null(f);
    page[fread(page, 1, sizeof page - 1, f)] = '\0';
    (void)fclose(f);
    for (char *at = page; (at = strstr(at, "```jsonc\n")); n++) {
        char *end = strstr(at += 9, "```");
        assert_non_null(end);
        *end = '\0';
        if (parse(at, &why) != RMR_OK)
            fail_msg("%s\nline %u: %s", at, why.line, why.text);
        at = end + 1;
    }
    assert_true(n >= 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_has_its_place_and_reason),
        cmocka_unit_test(what_hujson_allows_is_read),
        cmocka_unit_test(size_and_depth_are_bounded),
        cmocka_unit_test(long_reasons_are_cut),
        cmocka_unit_test(a_rule_has_not_too_many_users),
        cmocka_unit_test(every_cut_is_refused_without_harm),
        cmocka_unit_test(tags_are_defined_in_tag_owners),
        cmocka_unit_test(the_documentations_examples_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
