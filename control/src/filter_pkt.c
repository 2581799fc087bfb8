/*
 * What the filter reads of a packet.  It follows tailscale.com net/packet
 * (Parsed.Decode) step by step, also where that is crude: IPv6 extension
 * headers are not walked, and fragments are judged by their place alone.
 */
#include "filter_internal.h"

#include <remora/cursor.h>

#include <string.h>

enum { PROTO_ICMP4 = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ICMP6 = 58 };
enum { PROTO_SCTP = 132 };

/* The longest IPv4 header and a bare TCP header, in fragment blocks of eight:
 * a later fragment that starts before it could rewrite the ports. */
#define MIN_FRAGMENT_BLOCKS ((60 + 20) / 8)

static size_t header_len(uint8_t proto)
{
    switch (proto) {
    case PROTO_ICMP4:
    case PROTO_ICMP6:
        return 4;
    case PROTO_TCP:
        return 20;
    case PROTO_UDP:
        return 8;
    case PROTO_SCTP:
        return 12;
    default:
        return 0;
    }
}

/* The transport header in `sub`, of a packet that is whole or starts one. */
static void parse_transport(filter_pkt *out, uint8_t proto, rmr_bytes sub)
{
    uint8_t icmp = out->fam == FAM4 ? PROTO_ICMP4 : PROTO_ICMP6;
    /* 255 is our word for a fragment; on the wire it means nothing. */
    if (proto == FILTER_FRAGMENT)
        return;
    bool has_ports =
        proto == PROTO_TCP || proto == PROTO_UDP || proto == PROTO_SCTP;
    if ((has_ports || proto == icmp) && sub.len < header_len(proto))
        return;
    if (has_ports) {
        out->src_port = rmr_load_be16(sub.ptr);
        out->dst_port = rmr_load_be16(sub.ptr + 2);
    }
    if (proto == PROTO_TCP)
        out->tcp_flags = sub.ptr[13];
    if (proto == icmp) {
        out->icmp_type = sub.ptr[0];
        out->icmp_code = sub.ptr[1];
        out->icmp_whole = sub.len >= 8;
    }
    out->proto = proto;
}

static void parse4(rmr_bytes p, filter_pkt *out)
{
    size_t total = rmr_load_be16(p.ptr + 2);
    size_t sub = (size_t)(p.ptr[0] & 0x0f) * 4;
    out->fam = FAM4;
    out->src = p.ptr + 12;
    out->dst = p.ptr + 16;
    if (p.len < total || sub < 20 || sub > total)
        return;
    uint16_t frag = rmr_load_be16(p.ptr + 6);
    bool more = (frag & 0x2000) != 0;
    unsigned blocks = frag & 0x1fff;
    if (blocks) {
        if (blocks >= MIN_FRAGMENT_BLOCKS)
            out->proto = FILTER_FRAGMENT;
        return;
    }
    if (more && p.len - sub < MIN_FRAGMENT_BLOCKS)
        return;
    parse_transport(out, p.ptr[9], rmr_bytes_of(p.ptr + sub, p.len - sub));
}

static void parse6(rmr_bytes p, filter_pkt *out)
{
    if (p.len < 40)
        return;
    out->fam = FAM6;
    out->src = p.ptr + 8;
    out->dst = p.ptr + 24;
    if (p.len < 40u + rmr_load_be16(p.ptr + 4))
        return;
    parse_transport(out, p.ptr[6], rmr_bytes_of(p.ptr + 40, p.len - 40));
}

void rmri_filter_parse(rmr_bytes packet, filter_pkt *out)
{
    memset(out, 0, sizeof *out);
    if (packet.len < 20)
        return;
    if (packet.ptr[0] >> 4 == 4)
        parse4(packet, out);
    else if (packet.ptr[0] >> 4 == 6)
        parse6(packet, out);
}
