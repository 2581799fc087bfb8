/* UPnP IGD: found by SSDP, described by XML, asked by SOAP over HTTP.  Only the
 * gateway is talked to: a URL that leads elsewhere is no URL. */
#include "portmap_internal.h"

#include <remora/cursor.h>
#include <remora/text.h>

#include <string.h>

#define BODY_MAX ((uint64_t)256 * 1024)
#define SOAP_FOR (2 * RMR_SEC)
#define GATHER_FOR (50 * RMR_MS)
#define MAX_TRIES 6
#define NO_SERVICE 0xff

static const char *const services[] = {
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1"};
#define N_SERVICES (sizeof services / sizeof *services)

/* ---- SSDP ---------------------------------------------------------------- */

rmr_err rmri_pm_ssdp_build(uint32_t what, rmr_buf dst, size_t *len)
{
    rmr_wr w = rmr_wr_of(dst);
    rmr_wr_str(&w, "M-SEARCH * HTTP/1.1\r\n"
                   "HOST: 239.255.255.250:1900\r\nST: ");
    rmr_wr_str(&w, what == OUT_SSDP_IGD
                       ? "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
                       : "ssdp:all");
    rmr_wr_str(&w, "\r\nMAN: \"ssdp:discover\"\r\nMX: 2\r\n\r\n");
    rmr_err e = rmr_wr_end(&w);
    *len = e ? 0 : w.len;
    return e;
}

static bool has(rmr_bytes in, const char *what)
{
    size_t n = strlen(what);
    for (size_t i = 0; i + n <= in.len; i++)
        if (memcmp(in.ptr + i, what, n) == 0)
            return true;
    return false;
}

static rmr_bytes trim(rmr_bytes b)
{
    while (b.len && (b.ptr[0] == ' ' || b.ptr[0] == '\t'))
        b = rmr_bytes_of(b.ptr + 1, b.len - 1);
    while (b.len && (b.ptr[b.len - 1] == ' ' || b.ptr[b.len - 1] == '\r'))
        b.len--;
    return b;
}

/* The value of LOCATION, or no bytes. */
static rmr_bytes location_of(rmr_bytes d)
{
    static const char name[] = "location:";
    size_t n = sizeof name - 1;
    for (size_t at = 0; at < d.len;) {
        size_t end = at;
        while (end < d.len && d.ptr[end] != '\n')
            end++;
        rmr_bytes line = rmr_bytes_of(d.ptr + at, end - at);
        if (line.len > n && rmr_bytes_eq_nocase(rmr_bytes_of(line.ptr, n),
                                                rmr_bytes_of(name, n)))
            return trim(rmr_bytes_of(line.ptr + n, line.len - n));
        at = end + 1;
    }
    return rmr_bytes_of(NULL, 0);
}

static bool is_at_gateway(const rmr_portmap *pm, const rmr_url *u)
{
    rmr_addr a;
    return !u->https &&
           rmr_addr_parse_ip(rmr_bytes_str(u->host), &a) == RMR_OK &&
           rmr_addr_ip_eq(&a, &pm->gateway);
}

static bool is_same(const rmr_url *a, const rmr_url *b)
{
    return a->port == b->port &&
           rmr_bytes_eq(rmr_bytes_str(a->path), rmr_bytes_str(b->path));
}

rmr_err rmri_pm_ssdp_read(rmr_portmap *pm, rmr_bytes d)
{
    rmr_url u;
    if (!pm->probing && pm->stage != PM_FIND_UPNP)
        return RMR_E_UNKNOWN;
    if (d.len < 12 || memcmp(d.ptr, "HTTP/1.", 7) != 0 ||
        memcmp(d.ptr + 8, " 200", 4) != 0 ||
        !has(d, ":InternetGatewayDevice:") ||
        rmr_url_parse(location_of(d), &u) != RMR_OK || !is_at_gateway(pm, &u))
        return RMR_E_MALFORMED;
    if (!pm->u)
        pm->u =
            rmr_alloc_zero(&pm->env.alloc, sizeof *pm->u, _Alignof(pm_upnp));
    pm_upnp *p = pm->u;
    if (!p)
        return RMR_E_NOMEM;
    if (!rmri_pm_is_fresh(pm, PM_UPNP) && pm->stage < PM_DESCRIBE)
        p->n_at = 0; /* those of long ago */
    rmri_pm_see(pm, PM_UPNP);
    if (pm->stage == PM_FIND_UPNP)
        pm->until = rmr_time_min(pm->until, rmr_time_add(pm->now, GATHER_FOR));
    for (size_t i = 0; i < p->n_at; i++)
        if (is_same(&p->at[i], &u))
            return RMR_OK;
    if (p->n_at < LOCATIONS)
        p->at[p->n_at++] = u;
    return RMR_OK;
}

void rmri_pm_upnp_begin(rmr_portmap *pm)
{
    pm_upnp *p = pm->u;
    bool fresh = p && rmri_pm_is_fresh(pm, PM_UPNP);
    if (p)
        p->tried = p->ext_port = 0;
    if (fresh && p->control.path[0]) {
        rmri_pm_http(pm, PM_ADD, SOAP_FOR);
    } else if (fresh && p->n_at) {
        rmri_pm_http(pm, PM_DESCRIBE, RMR_SEC);
    } else {
        if (p)
            p->n_at = 0;
        pm->stage = PM_FIND_UPNP;
        pm->until = rmr_time_add(pm->now, 250 * RMR_MS);
        pm->out |= OUT_SSDP;
    }
}

/* ---- documents ----------------------------------------------------------- */

/* How much of a path is its directory, with the slash. */
static size_t directory(const char *path)
{
    size_t n = 0;
    for (size_t i = 0; path[i] && path[i] != '?'; i++)
        if (path[i] == '/')
            n = i + 1;
    return n;
}

/* A URL of a description: whole, or under its base. */
static bool url_of(const pm_upnp *p, rmr_bytes text, rmr_url *out)
{
    rmr_url base = p->has_base ? p->base : p->at[p->tried];
    char whole[sizeof base.path + 300], host[272];
    rmr_wr w = rmr_wr_of(rmr_buf_of(whole, sizeof whole));
    if (text.len == 0)
        return false;
    if (rmr_url_parse(text, out) == RMR_OK)
        return true;
    rmr_wr_str(&w, "http://");
    rmr_wr_str(&w, rmr_url_authority(&base, host));
    if (text.ptr[0] != '/')
        rmr_wr_bytes(&w, base.path, directory(base.path));
    rmr_wr_bytes(&w, text.ptr, text.len);
    return rmr_wr_end(&w) == RMR_OK &&
           rmr_url_parse(rmr_bytes_of(whole, w.len), out) == RMR_OK;
}

static uint8_t service_of(rmr_bytes text)
{
    for (size_t i = 0; i < N_SERVICES; i++)
        if (rmr_bytes_eq_str(text, services[i]))
            return (uint8_t)i;
    return NO_SERVICE;
}

static void in_description(rmr_portmap *pm, rmr_bytes name, rmr_bytes text)
{
    pm_upnp *p = pm->u;
    rmr_url u;
    if (rmr_bytes_eq_str(name, "URLBase")) {
        p->has_base = rmr_url_parse(text, &u) == RMR_OK;
        if (p->has_base)
            p->base = u;
    } else if (rmr_bytes_eq_str(name, "serviceType")) {
        p->this_service = service_of(text);
    } else if (rmr_bytes_eq_str(name, "controlURL")) {
        p->this_has_url =
            url_of(p, text, &p->this_url) && is_at_gateway(pm, &p->this_url);
    } else if (rmr_bytes_eq_str(name, "service")) {
        if (p->this_has_url && p->this_service < p->found_service) {
            p->found_service = p->this_service;
            p->found = p->this_url;
        }
        p->this_service = NO_SERVICE;
        p->this_has_url = false;
    }
}

static void in_answer(rmr_portmap *pm, rmr_bytes name, rmr_bytes text)
{
    pm_upnp *p = pm->u;
    uint64_t n;
    rmr_addr a;
    if (rmr_bytes_eq_str(name, "errorCode")) {
        if (rmr_parse_u64(text, 65535, &n) == RMR_OK)
            p->error = (uint16_t)n;
    } else if (rmr_bytes_eq_str(name, "NewReservedPort")) {
        if (pm->stage == PM_ADD && rmr_parse_u64(text, 65535, &n) == RMR_OK &&
            n)
            p->ext_port = (uint16_t)n;
    } else if (rmr_bytes_eq_str(name, "NewExternalIPAddress")) {
        if (rmr_addr_parse_ip(text, &a) == RMR_OK)
            p->ext = a;
    }
}

static void on_end(void *user, rmr_bytes name, rmr_bytes text)
{
    rmr_portmap *pm = user;
    if (pm->stage == PM_DESCRIBE)
        in_description(pm, name, text);
    else
        in_answer(pm, name, text);
}

/* ---- requests ------------------------------------------------------------ */

static void arg(rmr_wr *w, const char *name, const char *value)
{
    rmr_wr_fmt(w, "<%s>%s</%s>", name, value, name);
}

static void arg_n(rmr_wr *w, const char *name, unsigned value)
{
    rmr_wr_fmt(w, "<%s>%u</%s>", name, value, name);
}

static const char *action_of(const rmr_portmap *pm)
{
    if (pm->stage == PM_ADDRESS)
        return "GetExternalIPAddress";
    if (pm->stage == PM_DELETE)
        return "DeletePortMapping";
    return pm->u->service == 0 && !pm->u->old_add ? "AddAnyPortMapping"
                                                  : "AddPortMapping";
}

/* The port that we have, else any: a fixed one would often be taken. */
static uint16_t choose_port(rmr_portmap *pm)
{
    uint8_t b[2];
    if (pm->map.kind == RMR_PORTMAP_UPNP && pm->u->tries == 0)
        return pm->map.ext.port;
    if (rmr_rng_fill(&pm->env.rng, b, sizeof b) != RMR_OK)
        return pm->port;
    return (uint16_t)(1024 + rmr_load_be16(b) % (65534 - 1024 + 1));
}

static void put_args(rmr_portmap *pm, rmr_wr *w)
{
    char own[RMR_ADDR_TEXT_MAX];
    pm_upnp *p = pm->u;
    if (pm->stage == PM_ADDRESS)
        return;
    if (pm->stage == PM_ADD && p->ext_port == 0)
        p->ext_port = choose_port(pm);
    arg(w, "NewRemoteHost", "");
    arg_n(w, "NewExternalPort",
          pm->stage == PM_DELETE ? pm->gone.ext.port : p->ext_port);
    arg(w, "NewProtocol", "UDP"); /* some know it in upper case alone */
    if (pm->stage == PM_DELETE)
        return;
    arg_n(w, "NewInternalPort", pm->port);
    arg(w, "NewInternalClient", rmr_addr_ip_text(&pm->own, own));
    arg(w, "NewEnabled", "1");
    arg(w, "NewPortMappingDescription", "remora");
    arg_n(w, "NewLeaseDuration", p->forever ? 0 : LEASE_S);
}

static rmr_err build_soap(rmr_portmap *pm)
{
    char body[1200], host[272], soap[128];
    const char *action = action_of(pm), *type = services[pm->u->service];
    rmr_wr w = rmr_wr_of(rmr_buf_of(body, sizeof body));
    rmr_wr s = rmr_wr_of(rmr_buf_of(soap, sizeof soap));
    rmr_wr_str(&w, "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s="
                   "\"http://schemas.xmlsoap.org/soap/envelope/\" "
                   "s:encodingStyle="
                   "\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>");
    rmr_wr_fmt(&w, "<u:%s xmlns:u=\"%s\">", action, type);
    put_args(pm, &w);
    rmr_wr_fmt(&w, "</u:%s></s:Body></s:Envelope>\r\n", action);
    rmr_wr_fmt(&s, "\"%s#%s\"", type, action);
    if (rmr_wr_end(&w) || rmr_wr_end(&s))
        return RMR_E_BUFSIZE;
    const rmr_header headers[] = {
        {rmr_bytes_str("Content-Type"),
         rmr_bytes_str("text/xml; charset=\"utf-8\"")},
        {rmr_bytes_str("SOAPAction"), rmr_bytes_of(soap, s.len)},
        {rmr_bytes_str("Connection"), rmr_bytes_str("close")}};
    rmr_bytes b = rmr_bytes_of(body, w.len);
    return rmr_h1_build_request(rmr_buf_of(pm->u->req, sizeof pm->u->req),
                                &pm->u->req_len, "POST", pm->u->control.path,
                                rmr_url_authority(&pm->u->control, host),
                                headers, 3, &b);
}

static const rmr_url *target(const rmr_portmap *pm)
{
    return pm->stage == PM_DESCRIBE ? &pm->u->at[pm->u->tried]
                                    : &pm->u->control;
}

static rmr_err build_request(rmr_portmap *pm)
{
    char host[272];
    const rmr_header close = {rmr_bytes_str("Connection"),
                              rmr_bytes_str("close")};
    pm->u->req_at = 0;
    if (pm->stage != PM_DESCRIBE)
        return build_soap(pm);
    return rmr_h1_build_request(
        rmr_buf_of(pm->u->req, sizeof pm->u->req), &pm->u->req_len, "GET",
        target(pm)->path, rmr_url_authority(target(pm), host), &close, 1, NULL);
}

/* ---- exchanges ----------------------------------------------------------- */

void rmri_pm_http_end(rmr_portmap *pm)
{
    pm->wants_close = pm->wants_close || pm->stream >= DIALLING;
    pm->stream = NO_STREAM;
    if (pm->u)
        pm->u->req_len = pm->u->req_at = 0;
    rmr_h1_free(pm->h1);
    pm->h1 = NULL;
}

void rmri_pm_http(rmr_portmap *pm, pm_stage stage, rmr_dur budget)
{
    pm_upnp *p = pm->u;
    rmri_pm_http_end(pm);
    pm->stage = stage;
    pm->until = rmr_time_add(pm->now, budget);
    pm->stream = STREAM_WANTED;
    p->status = p->error = 0;
    p->is_done = p->has_base = p->this_has_url = false;
    p->found_service = p->this_service = NO_SERVICE;
    memset(&p->ext, 0, sizeof p->ext);
    rmri_pm_xml_init(&p->xml, on_end, pm);
}

static void described(rmr_portmap *pm)
{
    pm_upnp *p = pm->u;
    if (p->status == 200 && p->found_service != NO_SERVICE) {
        p->control = p->found;
        p->service = p->found_service;
        p->old_add = p->forever = false;
        rmri_pm_http(pm, PM_ADD, SOAP_FOR);
    } else if (++p->tried < p->n_at) {
        rmri_pm_http(pm, PM_DESCRIBE, RMR_SEC);
    } else {
        rmri_pm_next_way(pm);
    }
}

/* Is it worth asking again, in another way? */
static bool can_ask_again(pm_upnp *p)
{
    switch (p->error) {
    case 401: /* no such action */
    case 602:
        if (p->service != 0 || p->old_add)
            return false;
        p->old_add = true;
        return true;
    case 402: /* arguments; some mean: no leases */
    case 725: /* only permanent leases */
        if (p->forever)
            return false;
        p->forever = true;
        return true;
    case 718: /* that port is another's */
    case 729:
        p->ext_port = 0;
        return true;
    default:
        return false;
    }
}

static void added(rmr_portmap *pm)
{
    pm_upnp *p = pm->u;
    if (p->status == 200) {
        rmri_pm_http(pm, PM_ADDRESS, SOAP_FOR);
        return;
    }
    pm->stats.refused++;
    if (++p->tries < MAX_TRIES && can_ask_again(p)) {
        rmri_pm_http(pm, PM_ADD, SOAP_FOR);
        return;
    }
    p->control.path[0] = '\0'; /* described anew the next time */
    rmri_pm_next_way(pm);
}

static void addressed(rmr_portmap *pm)
{
    rmr_addr a = pm->u->ext;
    a.port = pm->u->ext_port;
    if (pm->u->status != 200 || !rmri_pm_is_public(&a)) {
        pm->stats.refused++;
        rmri_pm_next_way(pm);
        return;
    }
    rmri_pm_see(pm, PM_UPNP);
    rmri_pm_made(pm, RMR_PORTMAP_UPNP, a, LEASE_S);
}

/* The exchange is over; without a whole answer its status is 0. */
static void over(rmr_portmap *pm)
{
    if (!pm->u->is_done) {
        pm->u->status = 0;
        pm->stats.http_failed++;
    }
    rmri_pm_http_end(pm);
    switch (pm->stage) {
    case PM_DESCRIBE:
        described(pm);
        break;
    case PM_ADD:
        added(pm);
        break;
    case PM_ADDRESS:
        addressed(pm);
        break;
    default:
        rmri_pm_next_way(pm);
        break;
    }
}

static rmr_err on_head(void *user, const rmr_h1_head *head)
{
    rmr_portmap *pm = user;
    pm->u->status = head->status;
    return RMR_OK;
}

static rmr_err on_body(void *user, rmr_bytes data)
{
    rmr_portmap *pm = user;
    rmri_pm_xml_feed(&pm->u->xml, data);
    return RMR_OK;
}

static rmr_err on_done(void *user)
{
    rmr_portmap *pm = user;
    pm->u->is_done = true;
    return RMR_OK;
}

/* ---- the stream ---------------------------------------------------------- */

static rmr_err enter(rmr_portmap *pm, rmr_time now)
{
    if (pm->busy)
        return RMR_E_REENTRANT;
    if (now > pm->now)
        pm->now = now;
    return RMR_OK;
}

bool rmr_portmap_wants_stream(rmr_portmap *pm, rmr_time now, rmr_dial *out)
{
    if (now > pm->now)
        pm->now = now;
    if (pm->stream != STREAM_WANTED || pm->wants_close)
        return false;
    memset(out, 0, sizeof *out);
    memcpy(out->host, target(pm)->host, sizeof out->host);
    out->port = target(pm)->port;
    out->no_v6 = true;
    out->addrs[0] = pm->gateway;
    out->n_addrs = 1;
    out->timeout = rmr_time_since(pm->until, pm->now);
    pm->stream = DIALLING;
    pm->stats.http_asked++;
    return true;
}

rmr_err rmr_portmap_stream_opened(rmr_portmap *pm, rmr_time now)
{
    rmr_err e = enter(pm, now);
    if (e)
        return e;
    if (pm->stream != DIALLING)
        return RMR_E_STATE;
    rmr_h1_config cfg = {.head_max = 8192,
                         .body_max = BODY_MAX,
                         .callbacks = {pm, on_head, on_body, on_done}};
    e = rmr_h1_new(&pm->h1, &pm->env, &cfg);
    if (e == RMR_OK)
        e = build_request(pm);
    pm->stream = e ? NO_STREAM : OPEN;
    if (e)
        over(pm);
    return e;
}

void rmr_portmap_stream_closed(rmr_portmap *pm, rmr_time now, rmr_err why)
{
    if (enter(pm, now) != RMR_OK)
        return;
    if (pm->wants_close) { /* it was over already */
        pm->wants_close = false;
        return;
    }
    if (pm->stream < DIALLING)
        return;
    if (pm->h1 && why == RMR_OK)
        (void)rmr_h1_read_eof(pm->h1);
    pm->stream = NO_STREAM;
    over(pm);
}

bool rmr_portmap_wants_close(rmr_portmap *pm)
{
    bool w = pm->wants_close;
    pm->wants_close = false;
    return w;
}

rmr_err rmr_portmap_read(rmr_portmap *pm, rmr_time now, rmr_bytes in)
{
    size_t n;
    rmr_err e = enter(pm, now);
    if (e)
        return e;
    if (pm->stream != OPEN)
        return RMR_E_STATE;
    e = rmr_h1_read(pm->h1, in, &n);
    if (e || pm->u->is_done)
        over(pm);
    return RMR_OK;
}

rmr_err rmr_portmap_write(rmr_portmap *pm, rmr_time now, rmr_buf dst,
                          size_t *len)
{
    *len = 0;
    rmr_err e = enter(pm, now);
    if (e || pm->stream != OPEN)
        return e;
    size_t n = pm->u->req_len - pm->u->req_at;
    n = n < dst.len ? n : dst.len;
    memcpy(dst.ptr, pm->u->req + pm->u->req_at, n);
    pm->u->req_at += n;
    *len = n;
    return RMR_OK;
}
