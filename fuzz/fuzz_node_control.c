/* The control server by hand: keys, the upgrade, records that the null ciphers
 * open whatever their tag is, HTTP/2 without a state, and a netmap. */
#include "fuzz_node_world.h"

#include <remora/cursor.h>
#include <remora/text.h>

#include <stdio.h>
#include <string.h>

#define RECORD_MAX 4000
#define TEXT_MAX 16384

enum { H2_DATA = 0, H2_HEADERS = 1, H2_SETTINGS = 4, H2_WINDOW = 8 };
enum { END_STREAM = 1, END_HEADERS = 4 };

/* ---- records and frames --------------------------------------------------- */

static void say_record(fz_wire *s, const uint8_t *p, size_t n)
{
    uint8_t head[3] = {4}, tag[RMR_TAG_LEN] = {0};
    rmr_store_be16(head + 1, (uint16_t)(n + sizeof tag));
    fz_wire_say(s, head, sizeof head);
    fz_wire_say(s, p, n);
    fz_wire_say(s, tag, sizeof tag);
}

void fz_control_frame(fz_wire *s, uint8_t type, uint8_t flags, uint32_t stream,
                      const void *p, size_t n)
{
    uint8_t b[9 + RECORD_MAX] = {0};
    need(n <= RECORD_MAX);
    rmr_store_be16(b + 1, (uint16_t)n);
    b[3] = type;
    b[4] = flags;
    rmr_store_be32(b + 5, stream);
    if (n)
        memcpy(b + 9, p, n);
    say_record(s, b, 9 + n);
}

static void say_data(fz_wire *s, uint32_t stream, const uint8_t *p, size_t n,
                     bool ends)
{
    do {
        size_t part = n < RECORD_MAX ? n : RECORD_MAX;
        fz_control_frame(s, H2_DATA, ends && part == n ? END_STREAM : 0, stream,
                         p, part);
        p += part;
        n -= part;
    } while (n);
}

static void say_status(fz_wire *s, uint32_t stream, int status, bool ends)
{
    /* HPACK: 200, 204, 500 are in the static table; 401 is not. */
    static const uint8_t other[] = {0x08, 3, '4', '0', '1'};
    uint8_t known = status == 200 ? 0x88 : status == 204 ? 0x89 : 0x8e;
    uint8_t flags = (uint8_t)(END_HEADERS | (ends ? END_STREAM : 0));
    if (status == 401)
        fz_control_frame(s, H2_HEADERS, flags, stream, other, sizeof other);
    else
        fz_control_frame(s, H2_HEADERS, flags, stream, &known, 1);
}

/* A frame of a map stream; zstd: one raw block. */
static void say_map(fz_wire *s, rmr_bytes json)
{
    fz_bytes b = {0};
    uint8_t head[16] = {0};
    if (!s->wants_zstd) {
        rmr_store_le32(head, (uint32_t)json.len);
        fz_add(&b, head, 4);
    } else {
        rmr_store_le32(head, (uint32_t)(12 + json.len));
        rmr_store_le32(head + 4, 0xfd2fb528u);
        head[8] = 0xa0;
        rmr_store_le32(head + 9, (uint32_t)json.len);
        uint32_t block = (uint32_t)json.len << 3 | 1;
        head[13] = (uint8_t)block;
        head[14] = (uint8_t)(block >> 8);
        head[15] = (uint8_t)(block >> 16);
        fz_add(&b, head, sizeof head);
    }
    fz_add(&b, json.ptr, json.len);
    say_data(s, s->map_stream, b.p, b.len, false);
    fz_free(&b);
}

/* ---- the netmap ----------------------------------------------------------- */

static void hex_of(char dst[65], const uint8_t key[RMR_KEY_LEN])
{
    (void)rmr_hex(dst, key, RMR_KEY_LEN);
}

static void put_self(const fz_world *w, fz_bytes *b)
{
    char text[1024];
    static const char *const extra[] = {
        "",
        ",\"KeyExpiry\":\"2026-09-21T16:00:00Z\"",
        ",\"Expired\":true",
        ",\"KeyExpiry\":\"2026-09-30T00:00:00Z\",\"Tags\":[\"tag:a\"]",
        ",\"CapMap\":{\"peer-mtu-enable\":null,\"randomize-client-port\":[]}",
    };
    (void)snprintf(
        text, sizeof text,
        "{\"ID\":1,\"StableID\":\"s1\",\"Name\":\"me.ex.com.\",\"User\":1,"
        "\"Key\":\"nodekey:%s\",\"Addresses\":[\"100.64.0.1/32\",\"%s\"],"
        "\"AllowedIPs\":[\"100.64.0.1/32\"],\"MachineAuthorized\":%s%s}",
        w->node_key, w->self_shape & 8 ? "fd7a::1/128" : "fd7a::9/128",
        w->self_shape & 16 ? "false" : "true", extra[(w->self_shape & 7) % 5]);
    fz_text(b, text);
}

/* Peer 3 is of WireGuard alone; peer 2 may route. */
static void put_peer(const fz_world *w, fz_bytes *b, size_t i)
{
    const fz_peer *p = &w->peers[i];
    char text[1400], key[65], disco[65];
    uint8_t k[RMR_KEY_LEN];
    static const char *const routes[] = {"", ",\"10.9.0.0/16\"",
                                         ",\"0.0.0.0/0\",\"::/0\"",
                                         ",\"10.9.0.0/16\",\"10.0.0.0/8\""};
    fz_peer_key(w, i, k);
    hex_of(key, k);
    fz_peer_disco_key(i, k);
    hex_of(disco, k);
    (void)snprintf(
        text, sizeof text,
        "{\"ID\":%d,\"StableID\":\"s%d\",\"Name\":\"p%d.ex.com.\",\"User\":1,"
        "\"Key\":\"nodekey:%s\",\"DiscoKey\":\"discokey:%s\",\"Addresses\":["
        "\"100.64.0.%d/32\",\"fd7a::%d/128\"],\"AllowedIPs\":[\"100.64.0.%d/"
        "32\",\"fd7a::%d/128\"%s],\"Endpoints\":[\"192.0.2.%d:%d\"%s],"
        "\"HomeDERP\":%d,\"Cap\":138,\"MachineAuthorized\":true,\"Online\":%s,"
        "\"IsJailed\":%s,\"Expired\":%s%s}",
        (int)i + 2, (int)i + 2, (int)i, key, disco, (int)i + 2, (int)i + 2,
        (int)i + 2, (int)i + 2, i == 2 ? routes[p->shape & 3] : "", (int)i + 10,
        p->port, i == 3 ? ",\"192.0.2.13:99\"" : "", p->shape & 4 ? 2 : 1,
        p->shape & 8 ? "false" : "true", p->shape & 16 ? "true" : "false",
        p->shape & 32 ? "true" : "false",
        i == 3 ? ",\"IsWireGuardOnly\":true" : "");
    fz_text(b, text);
}

static void put_peers(const fz_world *w, fz_bytes *b)
{
    bool any = false;
    for (size_t i = 0; i < PEERS; i++) {
        if (!w->peers[i].is_there)
            continue;
        if (any)
            fz_text(b, ",");
        put_peer(w, b, i);
        any = true;
    }
}

static void put_derp_map(const fz_world *w, fz_bytes *b)
{
    char text[512];
    static const char *const shapes[] = {"12", "1", "2", "", "21"};
    const char *list = shapes[w->derp_shape % 5];
    fz_text(b, "{\"Regions\":{");
    for (const char *r = list; *r; r++) {
        (void)snprintf(
            text, sizeof text,
            "%s\"%c\":{\"RegionID\":%c,\"RegionCode\":\"r%c\",\"Nodes\":[{"
            "\"Name\":\"%ca\",\"RegionID\":%c,\"HostName\":\"r%c.test\","
            "\"IPv4\":\"203.0.113.24%c\",\"IPv6\":\"none\",\"CanPort80\":true}]"
            "}",
            r > list ? "," : "", *r, *r, *r, *r, *r, *r, *r);
        fz_text(b, text);
    }
    fz_text(b, "}}");
}

static const char *const filters[] = {
    "[{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{\"First\":0,"
    "\"Last\":65535}}]}]",
    "[]",
    "[{\"SrcIPs\":[\"100.64.0.2\"],\"IPProto\":[6],\"DstPorts\":[{\"IP\":"
    "\"100.64.0.1\",\"Ports\":{\"First\":80,\"Last\":81}}]}]",
    "[{\"SrcIPs\":[\"100.64.0.0/10\"],\"CapGrant\":[{\"Dsts\":[\"100.64.0.1\"],"
    "\"CapMap\":{\"ex.com/cap\":[{\"a\":1}]}}]},{\"SrcIPs\":[\"*\"],"
    "\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{\"First\":0,\"Last\":65535}}]}]",
};

static const char *const dns[] = {
    "{\"Domains\":[\"ex.com\"],\"Proxied\":true}",
    "null",
    "{\"Resolvers\":[{\"Addr\":\"192.0.2.53\"}],\"Domains\":[\"ex.com\",\"b."
    "test"
    "\"],\"Proxied\":true,\"Routes\":{\"corp.test\":[{\"Addr\":\"100.64.0.2\"}]"
    ","
    "\"none.test\":null},\"ExtraRecords\":[{\"Name\":\"x.ex.com\",\"Value\":"
    "\"100.64.0.7\"}]}",
    "{\"Resolvers\":[{\"Addr\":\"10.9.0.53\"}],\"Proxied\":false}",
};

static const char users[] =
    "\"UserProfiles\":[{\"ID\":1,\"LoginName\":\"ann@ex.com\",\"DisplayName\":"
    "\"Ann\"}],\"Domain\":\"ex.com\"";

static void put_whole(fz_world *w, fz_bytes *b)
{
    fz_text(b, "{\"Node\":");
    put_self(w, b);
    fz_text(b, ",\"DERPMap\":");
    put_derp_map(w, b);
    fz_text(b, ",\"Peers\":[");
    put_peers(w, b);
    fz_text(b, "],");
    fz_text(b, users);
    fz_text(b, ",\"PacketFilter\":");
    fz_text(b, filters[w->filter_shape % 4]);
    fz_text(b, ",\"DNSConfig\":");
    fz_text(b, dns[w->dns_shape % 4]);
    fz_text(b, "}");
    w->filter_told = true;
}

/* ---- changes of it -------------------------------------------------------- */

static void put_change(fz_world *w, fz_bytes *b, uint8_t arg)
{
    size_t i = arg % PEERS;
    w->peers[i].is_there = true;
    w->peers[i].shape = arg >> 2;
    fz_text(b, "{\"PeersChanged\":[");
    put_peer(w, b, i);
    fz_text(b, "]}");
}

static void put_removal(fz_world *w, fz_bytes *b, uint8_t arg)
{
    char text[64];
    w->peers[arg % PEERS].is_there = false;
    w->peers[arg % PEERS].their_index = 0;
    (void)snprintf(text, sizeof text, "{\"PeersRemoved\":[%d]}",
                   arg % PEERS + 2);
    fz_text(b, text);
}

static void put_patch(fz_world *w, fz_bytes *b, uint8_t arg)
{
    char text[512], key[65];
    size_t i = arg % PEERS;
    fz_peer *p = &w->peers[i];
    uint8_t k[RMR_KEY_LEN];
    if (arg & 4) {
        p->version++;
        p->their_index = 0;
    }
    if (arg & 8)
        p->port++;
    fz_peer_key(w, i, k);
    hex_of(key, k);
    (void)snprintf(text, sizeof text,
                   "{\"PeersChangedPatch\":[{\"NodeID\":%d,\"DERPRegion\":%d,"
                   "\"Key\":\"nodekey:%s\",\"Endpoints\":[\"192.0.2.%d:%d\"],"
                   "\"Online\":%s,\"KeyExpiry\":\"%s\"}]}",
                   (int)i + 2, arg & 16 ? 2 : 1, key, (int)i + 10, p->port,
                   arg & 32 ? "true" : "false",
                   arg & 64 ? "2026-09-21T14:14:00Z" : "0001-01-01T00:00:00Z");
    fz_text(b, text);
}

static const char *const asides[] = {
    "{\"KeepAlive\":true}",
    "{\"ControlTime\":\"2026-09-22T00:00:00Z\"}",
    "{\"PingRequest\":{\"URL\":\"http://203.0.113.250/ping/1\",\"Types\":"
    "\"disco,TSMP\",\"IP\":\"100.64.0.2\"}}",
    "{\"PingRequest\":{\"URL\":\"https://x/c2n\",\"URLIsNoise\":true,\"Types\":"
    "\"c2n\",\"Payload\":\"R0VUIC9lY2hvIEhUVFAvMS4xDQoNCg==\"}}",
    "{\"OnlineChange\":{\"2\":false,\"3\":true},\"PeerSeenChange\":{\"2\":true}"
    "}",
    "{\"Health\":[\"the server is unwell\"],\"Debug\":{\"SleepSeconds\":0.5}}",
    "{\"DisplayMessages\":{\"a\":{\"Title\":\"t\",\"Text\":\"x\",\"Severity\":"
    "\"high\"}}}",
    "{\"PacketFilters\":{\"base\":null,\"x\":[{\"SrcIPs\":[\"100.64.0.3\"],"
    "\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{\"First\":1,\"Last\":99}}]}]}}",
};

static void put_delta(fz_world *w, fz_bytes *b, uint8_t kind, uint8_t arg)
{
    switch (kind % 9) {
    case 0:
        put_whole(w, b);
        break;
    case 1:
        put_change(w, b, arg);
        break;
    case 2:
        put_removal(w, b, arg);
        break;
    case 3:
        put_patch(w, b, arg);
        break;
    case 4:
        w->derp_shape = arg;
        fz_text(b, "{\"DERPMap\":");
        put_derp_map(w, b);
        fz_text(b, "}");
        break;
    case 5:
        w->filter_shape = arg;
        w->filter_told = true;
        fz_text(b, "{\"PacketFilter\":");
        fz_text(b, filters[arg % 4]);
        fz_text(b, "}");
        break;
    case 6:
        w->dns_shape = arg;
        fz_text(b, "{\"DNSConfig\":");
        fz_text(b, dns[arg % 4]);
        fz_text(b, "}");
        break;
    case 7:
        w->self_shape = arg;
        fz_text(b, "{\"Node\":");
        put_self(w, b);
        fz_text(b, "}");
        break;
    default:
        fz_text(b, asides[arg % 8]);
        break;
    }
}

fz_wire *fz_control_wire(fz_world *w)
{
    for (size_t i = 0; i < w->n_wires; i++)
        if (w->wires[i].id && w->wires[i].far == FAR_CONTROL &&
            w->wires[i].has_records)
            return &w->wires[i];
    return NULL;
}

void fz_control_json(fz_world *w, rmr_bytes text)
{
    for (size_t i = 0; i < w->n_wires; i++)
        if (w->wires[i].id && w->wires[i].map_stream)
            say_map(&w->wires[i], text);
}

void fz_control_delta(fz_world *w, uint8_t kind, uint8_t arg)
{
    fz_bytes b = {0};
    put_delta(w, &b, kind, arg);
    need(b.len < TEXT_MAX);
    fz_control_json(w, rmr_bytes_of(b.p, b.len));
    fz_free(&b);
}

/* ---- requests ------------------------------------------------------------- */

static const char *const answers[] = {
    "{\"User\":{\"ID\":1},\"Login\":{\"LoginName\":\"ann@ex.com\"}}",
    "{\"AuthURL\":\"https://ex.com/a/1\"}",
    "{\"Error\":\"invalid authkey\"}",
    "{\"Error\":\"no\"}",
    "{\"NodeKeyExpired\":true}",
    "{\"MachineAuthorized\":false,\"Login\":{\"LoginName\":\"ann@ex.com\"}}",
    "[]",
};

static void keep_node_key(fz_world *w, const char *body)
{
    static const char name[] = "\"NodeKey\":\"nodekey:";
    const char *at = strstr(body, name);
    if (!at || strlen(at) < sizeof name + 64)
        return;
    memcpy(w->node_key, at + sizeof name - 1, 64);
}

static void on_register(fz_world *w, fz_wire *s, uint32_t stream)
{
    const char *text = answers[w->reg_mode % 7];
    int status = w->reg_mode & 64 ? 401 : w->reg_mode & 32 ? 500 : 200;
    say_status(s, stream, status, false);
    say_data(s, stream, (const uint8_t *)text, strlen(text), true);
}

static void on_map(fz_world *w, fz_wire *s, uint32_t stream, const char *body)
{
    fz_bytes b = {0};
    int status = w->map_mode & 1 ? 401 : w->map_mode & 2 ? 500 : 200;
    say_status(s, stream, status, status != 200);
    if (status != 200)
        return;
    s->map_stream = stream;
    s->wants_zstd = strstr(body, "\"Compress\":\"zstd\"") != NULL;
    put_whole(w, &b);
    say_map(s, rmr_bytes_of(b.p, b.len));
    fz_free(&b);
}

static void on_request(fz_world *w, fz_wire *s, uint32_t stream)
{
    fz_add(&s->body, "", 1);
    const char *body = (const char *)s->body.p;
    if (strstr(body, "\"Followup\":")) {
        keep_node_key(w, body);
        on_register(w, s, stream);
    } else if (strstr(body, "\"Stream\":true")) {
        keep_node_key(w, body);
        on_map(w, s, stream, body);
    } else {
        say_status(s, stream, 204, true);
    }
    s->body.len = 0;
}

static void read_frame(fz_world *w, fz_wire *s, const uint8_t *head,
                       const uint8_t *body, uint32_t len)
{
    uint32_t stream = rmr_load_be32(head + 5);
    uint8_t credit[4];
    if (head[3] == H2_DATA) {
        if (s->body_of != stream)
            s->body.len = 0;
        s->body_of = stream;
        fz_add(&s->body, body, len);
        rmr_store_be32(credit, len ? len : 1);
        fz_control_frame(s, H2_WINDOW, 0, 0, credit, 4);
    }
    if (head[3] <= H2_HEADERS && head[4] & END_STREAM)
        on_request(w, s, stream);
}

/* Behind the preface of 24 bytes, which is dropped with the first frame. */
static void read_plain(fz_world *w, fz_wire *s)
{
    if (s->plain.len >= 24 && s->plain.p[0] == 'P')
        fz_drop(&s->plain, 24);
    while (s->plain.len >= 9 && s->plain.p[0] != 'P') {
        uint32_t len = rmr_load_be32(s->plain.p) >> 8;
        if (s->plain.len < 9 + len)
            return;
        fz_bytes frame = {0};
        fz_add(&frame, s->plain.p, 9 + len);
        fz_drop(&s->plain, 9 + len);
        read_frame(w, s, frame.p, frame.p + 9, len);
        fz_free(&frame);
    }
}

static void read_records(fz_world *w, fz_wire *s)
{
    while (s->out.len >= 3) {
        size_t len = rmr_load_be16(s->out.p + 1);
        if (s->out.len < 3 + len || len < RMR_TAG_LEN)
            return;
        fz_add(&s->plain, s->out.p + 3, len - RMR_TAG_LEN);
        fz_drop(&s->out, 3 + len);
    }
    read_plain(w, s);
}

static void upgrade(fz_wire *s)
{
    static const char head[] =
        "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: "
        "tailscale-control-protocol\r\n\r\n";
    uint8_t hello[51] = {2, 0, 48};
    memset(hello + 3, 1, sizeof hello - 3);
    fz_wire_say(s, head, sizeof head - 1);
    fz_wire_say(s, hello, sizeof hello);
    s->has_records = true;
    fz_control_frame(s, H2_SETTINGS, 0, 0, NULL, 0);
}

void fz_control_read(fz_world *w, fz_wire *s)
{
    if (s->has_records) {
        read_records(w, s);
        return;
    }
    fz_bytes head = {0};
    fz_add(&head, s->out.p, s->out.len);
    fz_add(&head, "", 1);
    char *text = (char *)head.p, *end = strstr(text, "\r\n\r\n");
    if (end) {
        end[4] = '\0';
        fz_drop(&s->out, (size_t)(end - text) + 4);
        if (strncmp(text, "GET /key", 8) == 0) {
            char key[160];
            (void)snprintf(key, sizeof key,
                           "HTTP/1.1 200 OK\r\nContent-Length: 85\r\n\r\n"
                           "{\"publicKey\":\"mkey:%064x\"}",
                           7u);
            fz_wire_say(s, key, strlen(key));
        } else if (strncmp(text, "POST /ts2021", 12) == 0) {
            upgrade(s);
        } else {
            static const char no[] =
                "HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n";
            fz_wire_say(s, no, sizeof no - 1);
        }
    }
    fz_free(&head);
}
