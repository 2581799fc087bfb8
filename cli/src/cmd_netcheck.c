/* remora netcheck */
#include <stdio.h>
#include <string.h>

#include <remora/text.h>

#include "commands.h"
#include "local_client.h"
#include "own_netcheck.h"
#include "print.h"

enum {
    F_UDP = 1,
    F_V4,
    F_V6,
    F_OS_V6,
    F_VARIES,
    F_UPNP,
    F_PMP,
    F_PCP,
    F_PORTAL,
    F_GLOBAL_V4,
    F_GLOBAL_V6,
    F_PREFERRED,
    F_LATENCY,
    F_REGIONS,
    F_REGION,
    F_CODE,
    F_NAME
};

#define MAX_REGIONS 1024

typedef enum tri { UNKNOWN, NO, YES } tri;

typedef struct region {
    uint64_t id;
    int64_t latency_ns; /* 0: no answer */
    char code[32], name[64];
} region;

typedef struct report {
    tri udp, v4, v6, os_v6, varies, upnp, pmp, pcp, portal;
    char global_v4[64], global_v6[80];
    int64_t preferred;
    uint64_t key; /* of the map that is read */
    region regions[MAX_REGIONS];
    size_t n_regions;
} report;

static const rmr_json_field latency_fields[] = {{"*", F_LATENCY, NULL, 0}};
static const rmr_json_field region_fields[] = {
    {"RegionCode", F_CODE, NULL, 0},
    {"RegionName", F_NAME, NULL, 0},
};
static const rmr_json_field regions_fields[] = {
    {"*", F_REGION, region_fields, 2},
};
static const rmr_json_field top_fields[] = {
    {"UDP", F_UDP, NULL, 0},
    {"IPv4", F_V4, NULL, 0},
    {"IPv6", F_V6, NULL, 0},
    {"OSHasIPv6", F_OS_V6, NULL, 0},
    {"MappingVariesByDestIP", F_VARIES, NULL, 0},
    {"UPnP", F_UPNP, NULL, 0},
    {"PMP", F_PMP, NULL, 0},
    {"PCP", F_PCP, NULL, 0},
    {"CaptivePortal", F_PORTAL, NULL, 0},
    {"GlobalV4", F_GLOBAL_V4, NULL, 0},
    {"GlobalV6", F_GLOBAL_V6, NULL, 0},
    {"PreferredDERP", F_PREFERRED, NULL, 0},
    {"RegionLatency", F_LATENCY, latency_fields, 1},
    {"Regions", F_REGIONS, regions_fields, 1},
};

/* ---- reading ----------------------------------------------------------- */

static region *region_of(report *r, uint64_t id)
{
    for (size_t i = 0; i < r->n_regions; i++) {
        if (r->regions[i].id == id) {
            return &r->regions[i];
        }
    }
    if (id == 0 || r->n_regions == MAX_REGIONS) {
        return NULL;
    }
    r->regions[r->n_regions].id = id;
    return &r->regions[r->n_regions++];
}

static void take_key(report *r, rmr_bytes text)
{
    if (rmr_parse_u64(text, UINT16_MAX, &r->key) != RMR_OK) {
        r->key = 0;
    }
}

static void take_region(report *r, uint32_t id, rmr_json_kind kind,
                        rmr_bytes text)
{
    region *at = region_of(r, r->key);
    if (at == NULL) {
        return;
    }
    if (id == F_LATENCY) {
        (void)rmr_json_int(kind, text, &at->latency_ns);
    } else if (id == F_CODE) {
        cli_clean_copy(at->code, sizeof at->code, text);
    } else if (id == F_NAME) {
        cli_clean_copy(at->name, sizeof at->name, text);
    }
}

static rmr_err take_value(void *user, uint32_t id, rmr_json_kind kind,
                          rmr_bytes text)
{
    report *r = user;
    tri *const flags[] = {&r->udp,  &r->v4,  &r->v6,  &r->os_v6, &r->varies,
                          &r->upnp, &r->pmp, &r->pcp, &r->portal};
    if (kind == RMR_JSON_KEY) {
        take_key(r, text);
    } else if (id >= F_UDP && id <= F_PORTAL) {
        *flags[id - F_UDP] = kind == RMR_JSON_TRUE    ? YES
                             : kind == RMR_JSON_FALSE ? NO
                                                      : UNKNOWN;
    } else if (id == F_GLOBAL_V4) {
        cli_clean_copy(r->global_v4, sizeof r->global_v4, text);
    } else if (id == F_GLOBAL_V6) {
        cli_clean_copy(r->global_v6, sizeof r->global_v6, text);
    } else if (id == F_PREFERRED) {
        (void)rmr_json_int(kind, text, &r->preferred);
    } else {
        take_region(r, id, kind, text);
    }
    return RMR_OK;
}

static bool parse(report *r, rmr_bytes json)
{
    uint8_t scratch[1024];
    rmr_json_bind bind;
    rmr_json_bind_callbacks cb = {r, NULL, take_value};
    memset(r, 0, sizeof *r);
    rmr_json_bind_init(&bind, rmr_buf_of(scratch, sizeof scratch), top_fields,
                       (uint32_t)(sizeof top_fields / sizeof top_fields[0]),
                       &cb);
    return rmr_json_bind_feed(&bind, json) == RMR_OK &&
           rmr_json_bind_end(&bind) == RMR_OK;
}

/* ---- printing ---------------------------------------------------------- */

static const char *word(tri t)
{
    return t == YES ? "yes" : t == NO ? "no" : "unknown";
}

static void print_family(const char *name, tri works, const char *global)
{
    (void)printf("%-14s %s", name, word(works));
    if (global[0] != '\0') {
        (void)printf(", seen as %s", global);
    }
    (void)putchar('\n');
}

static void print_mapping(const report *r)
{
    const char *sep = "";
    (void)printf("%-14s ", "Port mapping");
    if (r->upnp != YES && r->pmp != YES && r->pcp != YES) {
        (void)puts(r->upnp == UNKNOWN && r->pmp == UNKNOWN ? "unknown" : "no");
        return;
    }
    if (r->upnp == YES) {
        (void)fputs("UPnP", stdout);
        sep = ", ";
    }
    if (r->pmp == YES) {
        (void)printf("%sNAT-PMP", sep);
        sep = ", ";
    }
    if (r->pcp == YES) {
        (void)printf("%sPCP", sep);
    }
    (void)putchar('\n');
}

/* The nearest first, those without an answer last. */
static void sort(report *r)
{
    for (size_t i = 1; i < r->n_regions; i++) {
        region at = r->regions[i];
        size_t j = i;
        while (j > 0 && at.latency_ns != 0 &&
               (r->regions[j - 1].latency_ns == 0 ||
                r->regions[j - 1].latency_ns > at.latency_ns)) {
            r->regions[j] = r->regions[j - 1];
            j--;
        }
        r->regions[j] = at;
    }
}

static void print_regions(report *r)
{
    sort(r);
    (void)printf("%-14s %s\n", "Relays", r->n_regions == 0 ? "none" : "");
    for (size_t i = 0; i < r->n_regions; i++) {
        const region *at = &r->regions[i];
        (void)printf("  %-12s ", at->code[0] != '\0' ? at->code : "-");
        if (at->latency_ns != 0) {
            (void)printf("%8.1f ms", (double)at->latency_ns / 1e6);
        } else {
            (void)printf("%11s", "no answer");
        }
        (void)printf("%s%s%s\n", at->name[0] != '\0' ? "  " : "", at->name,
                     (int64_t)at->id == r->preferred ? "  (home)" : "");
    }
}

static void print_report(report *r)
{
    (void)printf("%-14s %s\n", "UDP", word(r->udp));
    print_family("IPv4", r->v4, r->global_v4);
    print_family("IPv6", r->v6, r->global_v6);
    /* What decides whether others can find a way in. */
    (void)printf("%-14s %s\n", "NAT mapping",
                 r->varies == YES  ? "varies by destination (hard)"
                 : r->varies == NO ? "the same for all destinations (easy)"
                                   : "unknown");
    print_mapping(r);
    if (r->portal == YES) {
        (void)printf("%-14s %s\n", "Captive portal", "yes");
    }
    print_regions(r);
}

static bool show(rmr_bytes json)
{
    static report r; /* too large for a stack */
    if (!parse(&r, json)) {
        return false;
    }
    print_report(&r);
    return true;
}

static bool by_node(const cli_args *a, cli_local *c)
{
    rmr_bytes line;
    cli_line got = cli_local_request(c, "netcheck", &line);
    return cli_local_show(got, line, a->json, show);
}

static bool by_itself(const cli_args *a, cli_own_netcheck *own, bool in_dir)
{
    rmr_bytes json;
    if (!cli_own_netcheck_run(own, in_dir, &json)) {
        return false;
    }
    if (!a->json) {
        (void)printf("%-14s %s\n", "Measured by",
                     a->derp_map != NULL
                         ? "this command, with the relays of --derp-map"
                         : "this command, with the relays of the last netmap");
    }
    return cli_local_show(CLI_LINE, json, a->json, show);
}

int cli_netcheck(const cli_args *a)
{
    cli_own_netcheck own;
    cli_local c;
    bool ok = false;
    cli_found found = CLI_FOUND_NONE;
    memset(&c, 0, sizeof c);
    c.fd = -1;
    /* Files first: looking for the node changes the working directory. */
    if (cli_own_netcheck_prepare(&own, a)) {
        if (a->derp_map == NULL) {
            found = cli_local_find(&c, a->state_dir);
        }
        if (found == CLI_FOUND) {
            ok = by_node(a, &c);
        } else if (found == CLI_FOUND_NONE) {
            ok = by_itself(a, &own, c.in_dir);
        }
    }
    cli_local_close(&c);
    cli_own_netcheck_free(&own);
    return ok ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}
