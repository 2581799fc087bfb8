/* The members of a MapResponse that are wanted, in the order in which Go
 * servers write them, and who takes which. */
#include "nm_internal.h"

#include <remora/text.h>

#define COUNT(a) ((uint32_t)(sizeof(a) / sizeof *(a)))
#define LEAF(key, id)                                                          \
    {                                                                          \
        key, id, NULL, 0                                                       \
    }
#define NEST(key, id, table)                                                   \
    {                                                                          \
        key, id, table, COUNT(table)                                           \
    }

static const rmr_json_field service[] = {
    LEAF("Proto", N_SVC_PROTO),
    LEAF("Port", N_SVC_PORT),
};

static const rmr_json_field hostinfo[] = {
    LEAF("OS", N_OS),
    LEAF("Hostname", N_HOSTNAME),
    NEST("Services", N_SERVICES, service),
};

/* All that is inside a value, however deep. */
static const rmr_json_field any_value[] = {
    {"*", N_CAP_VALUE, any_value, 1},
};

static const rmr_json_field cap_map[] = {
    NEST("*", N_CAP_NAME, any_value),
};

static const rmr_json_field node[] = {
    LEAF("ID", N_ID),
    LEAF("StableID", N_STABLE_ID),
    LEAF("Name", N_NAME),
    LEAF("User", N_USER),
    LEAF("Key", N_KEY),
    LEAF("KeyExpiry", N_KEY_EXPIRY),
    LEAF("DiscoKey", N_DISCO_KEY),
    LEAF("Addresses", N_ADDRESSES),
    LEAF("AllowedIPs", N_ALLOWED_IPS),
    LEAF("Endpoints", N_ENDPOINTS),
    LEAF("DERP", N_DERP),
    LEAF("HomeDERP", N_HOME_DERP),
    NEST("Hostinfo", N_HOSTINFO, hostinfo),
    LEAF("Created", N_CREATED),
    LEAF("Cap", N_CAP),
    LEAF("Tags", N_TAGS),
    LEAF("PrimaryRoutes", N_PRIMARY_ROUTES),
    LEAF("LastSeen", N_LAST_SEEN),
    LEAF("Online", N_ONLINE),
    LEAF("MachineAuthorized", N_AUTHORIZED),
    LEAF("Capabilities", N_CAPABILITIES),
    NEST("CapMap", N_CAP_MAP, cap_map),
    LEAF("UnsignedPeerAPIOnly", N_UNSIGNED),
    LEAF("Expired", N_EXPIRED),
    LEAF("IsWireGuardOnly", N_WIREGUARD_ONLY),
    LEAF("IsJailed", N_JAILED),
};

static const rmr_json_field patch[] = {
    LEAF("NodeID", N_ID),
    LEAF("DERPRegion", N_PATCH_DERP),
    LEAF("Cap", N_CAP),
    NEST("CapMap", N_CAP_MAP, cap_map),
    LEAF("Endpoints", N_ENDPOINTS),
    LEAF("Key", N_KEY),
    LEAF("DiscoKey", N_DISCO_KEY),
    LEAF("Online", N_ONLINE),
    LEAF("LastSeen", N_LAST_SEEN),
    LEAF("KeyExpiry", N_KEY_EXPIRY),
};

static const rmr_json_field derp_node[] = {
    LEAF("Name", D_NODE_NAME),
    LEAF("HostName", D_HOST),
    LEAF("CertName", D_CERT),
    LEAF("IPv4", D_IPV4),
    LEAF("IPv6", D_IPV6),
    LEAF("STUNPort", D_STUN_PORT),
    LEAF("STUNOnly", D_STUN_ONLY),
    LEAF("DERPPort", D_DERP_PORT),
    LEAF("InsecureForTests", D_INSECURE),
    LEAF("STUNTestIP", D_STUN_TEST_IP),
    LEAF("CanPort80", D_PORT80),
};

static const rmr_json_field derp_region[] = {
    LEAF("RegionID", D_REGION_ID),         LEAF("RegionCode", D_REGION_CODE),
    LEAF("RegionName", D_REGION_NAME),     LEAF("Latitude", D_LATITUDE),
    LEAF("Longitude", D_LONGITUDE),        LEAF("Avoid", D_AVOID),
    LEAF("NoMeasureNoHome", D_NO_MEASURE), NEST("Nodes", D_NODES, derp_node),
};

static const rmr_json_field region_scores[] = {
    LEAF("*", D_SCORE),
};

static const rmr_json_field home_params[] = {
    NEST("RegionScore", D_SCORES, region_scores),
};

static const rmr_json_field derp_regions[] = {
    NEST("*", D_REGION, derp_region),
};

static const rmr_json_field derp_map[] = {
    NEST("HomeParams", D_HOME, home_params),
    NEST("Regions", D_REGIONS, derp_regions),
};

static const rmr_json_field dst_ports[] = {
    LEAF("First", R_FIRST),
    LEAF("Last", R_LAST),
};

static const rmr_json_field dst[] = {
    LEAF("IP", R_DST_IP),
    LEAF("Bits", R_DST_BITS),
    NEST("Ports", R_DST_PORTS, dst_ports),
};

static const rmr_json_field grant_value[] = {
    {"*", R_GRANT_VALUE, grant_value, 1},
};

static const rmr_json_field grant_map[] = {
    NEST("*", R_GRANT_CAP, grant_value),
};

static const rmr_json_field grant[] = {
    LEAF("Dsts", R_GRANT_DSTS),
    LEAF("Caps", R_GRANT_CAPS),
    {"CapMap", R_GRANT_MAP, grant_map, COUNT(grant_map)},
};

static const rmr_json_field rule[] = {
    LEAF("SrcIPs", R_SRC_IPS),        LEAF("SrcBits", R_SRC_BITS),
    NEST("DstPorts", R_DST, dst),     LEAF("IPProto", R_PROTO),
    NEST("CapGrant", R_GRANT, grant),
};

static const rmr_json_field filters[] = {
    NEST("*", R_NAMED, rule),
};

static const rmr_json_field by_id_seen[] = {
    LEAF("*", F_SEEN),
};

static const rmr_json_field by_id_online[] = {
    LEAF("*", F_ONLINE),
};

static const rmr_json_field ping[] = {
    LEAF("URL", F_PING_URL),     LEAF("URLIsNoise", F_PING_NOISE),
    LEAF("Types", F_PING_TYPES), LEAF("Payload", F_PING_PAYLOAD),
    LEAF("IP", F_PING_IP),
};

static const rmr_json_field plan_try[] = {
    LEAF("IP", F_PLAN_IP),
    LEAF("ACEHost", F_PLAN_ACE),
    LEAF("DialStartDelaySec", F_PLAN_DELAY),
    LEAF("DialTimeoutSec", F_PLAN_TIMEOUT),
    LEAF("Priority", F_PLAN_PRIORITY),
};

static const rmr_json_field plan[] = {
    NEST("Candidates", F_PLAN_TRY, plan_try),
};

static const rmr_json_field resolver[] = {
    LEAF("Addr", F_RES_ADDR),
    LEAF("BootstrapResolution", F_RES_BOOT),
    LEAF("UseWithExitNode", F_RES_EXIT),
};

static const rmr_json_field dns_routes[] = {
    NEST("*", F_DNS_ROUTE, resolver),
};

static const rmr_json_field dns_record[] = {
    LEAF("Name", F_REC_NAME),
    LEAF("Type", F_REC_TYPE),
    LEAF("Value", F_REC_VALUE),
};

static const rmr_json_field dns[] = {
    NEST("Resolvers", F_DNS_RESOLVERS, resolver),
    NEST("Routes", F_DNS_ROUTES, dns_routes),
    NEST("FallbackResolvers", F_DNS_FALLBACK, resolver),
    LEAF("Domains", F_DNS_DOMAINS),
    LEAF("Proxied", F_DNS_PROXIED),
    LEAF("CertDomains", F_DNS_CERTS),
    NEST("ExtraRecords", F_DNS_RECORDS, dns_record),
    LEAF("ExitNodeFilteredSet", F_DNS_FILTERED),
};

static const rmr_json_field user[] = {
    LEAF("ID", F_USER_ID),
    LEAF("LoginName", F_USER_LOGIN),
    LEAF("DisplayName", F_USER_DISPLAY),
    LEAF("ProfilePicURL", F_USER_PICTURE),
    LEAF("Groups", F_USER_GROUPS),
};

static const rmr_json_field action[] = {
    LEAF("URL", F_MESSAGE_URL),
    LEAF("Label", F_MESSAGE_LABEL),
};

static const rmr_json_field message[] = {
    LEAF("Title", F_MESSAGE_TITLE),
    LEAF("Text", F_MESSAGE_TEXT),
    LEAF("Severity", F_MESSAGE_SEVERITY),
    LEAF("ImpactsConnectivity", F_MESSAGE_IMPACTS),
    NEST("PrimaryAction", F_MESSAGE_ACTION, action),
};

static const rmr_json_field debug[] = {
    LEAF("SleepSeconds", F_DEBUG_SLEEP),
};

static const rmr_json_field messages[] = {
    NEST("*", F_MESSAGE, message),
};

static const rmr_json_field lock[] = {
    LEAF("Disabled", F_LOCK_DISABLED),
};

static const rmr_json_field root[] = {
    LEAF("KeepAlive", F_KEEPALIVE),
    NEST("PingRequest", F_PING, ping),
    NEST("ControlDialPlan", F_PLAN, plan),
    LEAF("PopBrowserURL", F_POP_BROWSER),
    NEST("Node", F_NODE, node),
    NEST("DERPMap", D_MAP, derp_map),
    NEST("Peers", F_PEERS, node),
    NEST("PeersChanged", F_CHANGED, node),
    LEAF("PeersRemoved", F_REMOVED),
    NEST("PeersChangedPatch", F_PATCH, patch),
    NEST("PeerSeenChange", F_SEEN, by_id_seen),
    NEST("OnlineChange", F_ONLINE, by_id_online),
    NEST("DNSConfig", F_DNS, dns),
    LEAF("Domain", F_DOMAIN),
    NEST("PacketFilter", R_FILTER, rule),
    NEST("PacketFilters", R_FILTERS, filters),
    NEST("UserProfiles", F_USERS, user),
    LEAF("Health", F_HEALTH),
    NEST("DisplayMessages", F_MESSAGES, messages),
    LEAF("ControlTime", F_CONTROL_TIME),
    NEST("TKAInfo", F_LOCK, lock),
    NEST("Debug", F_DEBUG, debug),
};

const rmr_json_field *const rmri_nm_root = root;
const uint32_t rmri_nm_n_root = COUNT(root);

/* ---- dispatch --------------------------------------------------------- */

static bool is_list(uint32_t id)
{
    return id == F_NODE || id == F_PEERS || id == F_CHANGED || id == F_PATCH;
}

/* After a full list the other peer fields of its frame are not read. */
static bool is_overruled(const rmr_nm *nm, uint32_t id)
{
    return nm->full_list && id >= F_CHANGED && id <= F_ONLINE;
}

static rmr_err list_nest(rmr_nm *nm, uint32_t id, rmr_json_kind kind)
{
    if (kind == RMR_JSON_OBJECT) {
        nm->section = id;
        if (id == F_PEERS && !nm->full_list) {
            nm->full_list = true;
            nm->frame++; /* what deltas before it marked does not count */
        }
        rmri_nm_draft_begin(&nm->read->draft);
        return RMR_OK;
    }
    if (kind == RMR_JSON_ARRAY_END && id == F_CHANGED) {
        rmri_nm_ghosts_free(nm);
        nm->saw_changed = true;
    }
    if (kind != RMR_JSON_OBJECT_END)
        return RMR_OK;
    return rmri_nm_commit_draft(nm);
}

rmr_err rmri_nm_nest(void *arg, uint32_t id, rmr_json_kind kind)
{
    rmr_nm *nm = (rmr_nm *)arg;
    if (id == 0) /* one object, nothing else */
        return kind == RMR_JSON_OBJECT || kind == RMR_JSON_OBJECT_END
                   ? RMR_OK
                   : RMR_E_MALFORMED;
    if (nm->keepalive && id != F_PING && id != F_PLAN && id != F_PLAN_TRY)
        return RMR_OK;
    if (is_overruled(nm, id))
        return RMR_OK;
    if (is_list(id))
        return list_nest(nm, id, kind);
    if (id >= R_FILTER)
        return rmri_nm_rules_nest(nm, id, kind);
    if (id >= D_MAP)
        return rmri_nm_derp_nest(nm, id, kind);
    if (id >= N_ID)
        return rmri_nm_draft_nest(nm, id, kind);
    if (id >= F_DNS && id <= F_REC_VALUE)
        return rmri_nm_dns_nest(nm, id, kind);
    return rmri_nm_misc_nest(nm, id, kind);
}

static rmr_err id_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                        rmr_bytes text)
{
    int64_t v;
    if (id == F_REMOVED) {
        if (rmr_json_int(kind, text, &v) == RMR_OK && v > 0)
            return rmri_nm_remove(nm, (uint64_t)v);
        if (kind != RMR_JSON_NULL)
            rmri_nm_drop(nm);
        return RMR_OK;
    }
    if (kind == RMR_JSON_KEY) {
        if (rmr_parse_u64(text, INT64_MAX, &nm->delta_id)) {
            nm->delta_id = 0;
            rmri_nm_drop(nm);
        }
        return RMR_OK;
    }
    if (kind != RMR_JSON_TRUE && kind != RMR_JSON_FALSE)
        return RMR_OK;
    if (id == F_SEEN)
        return rmri_nm_set_seen(nm, nm->delta_id, kind == RMR_JSON_TRUE);
    return rmri_nm_set_online(nm, nm->delta_id, kind == RMR_JSON_TRUE);
}

rmr_err rmri_nm_value(void *arg, uint32_t id, rmr_json_kind kind,
                      rmr_bytes text)
{
    rmr_nm *nm = (rmr_nm *)arg;
    bool request = id >= F_KEEPALIVE && id <= F_CONTROL_TIME;
    if (id == 0)
        return RMR_E_MALFORMED;
    if ((nm->keepalive && !request) || is_overruled(nm, id))
        return RMR_OK;
    if (is_list(id)) /* null, or something that is no node */
        return RMR_OK;
    if (id >= F_REMOVED && id <= F_ONLINE)
        return id_value(nm, id, kind, text);
    if (id >= R_FILTER)
        return rmri_nm_rules_value(nm, id, kind, text);
    if (id >= D_MAP)
        return rmri_nm_derp_value(nm, id, kind, text);
    if (id >= N_ID)
        return rmri_nm_draft_value(nm, id, kind, text);
    if (id >= F_DNS && id <= F_REC_VALUE)
        return rmri_nm_dns_value(nm, id, kind, text);
    return rmri_nm_misc_value(nm, id, kind, text);
}

bool rmri_nm_may_drop(void *arg, uint32_t id)
{
    rmr_nm *nm = (rmr_nm *)arg;
    bool of_cap = id == N_CAP_NAME || id == N_CAP_VALUE;
    bool of_grant = id == R_GRANT_CAP || id == R_GRANT_VALUE;
    if (id >= R_FILTER && !of_grant)
        return false;
    /* Values with a hole say something else: they go whole, and are counted
     * then. */
    if (nm->read->raw.depth && (of_cap || of_grant))
        nm->read->raw.w.failed = true;
    else
        rmri_nm_drop(nm);
    return true;
}
