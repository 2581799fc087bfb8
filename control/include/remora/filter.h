/*
 * remora/filter.h - the packet filter of a netmap: what peers may send us.
 *
 * Rules are compiled to sorted ranges; a verdict looks at the IP and transport
 * headers alone and never parses further than Tailscale's own filter does (a
 * cleverer parser than the peer's would be a way around it).  Replies to our
 * own UDP flows pass by a bounded table of the last 512.
 *
 * Threading: one object, one thread.  Memory: through rmr_env.alloc.  Time: none.
 * Source: tailscale.com wgengine/filter, tailcfg.FilterRule.
 */
#ifndef REMORA_FILTER_H
#define REMORA_FILTER_H

#include <remora/addr.h>
#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rmr_filter rmr_filter;

typedef struct rmr_ip_range { /* inclusive, one family */
    uint8_t first[16], last[16];
    uint8_t family;
} rmr_ip_range;

/** "*", an address, a CIDR or "a-b".  "*" gives two ranges.  *n: how many.
 *  Errors: MALFORMED (host bits set in a CIDR, too). */
RMR_API rmr_err rmr_ip_range_parse(rmr_bytes text, rmr_ip_range out[2],
                                   size_t *n);

/** Lets nothing in.  Errors: NOMEM, RNG. */
RMR_API rmr_err rmr_filter_new(rmr_filter **out, const rmr_env *env);
RMR_API void rmr_filter_free(rmr_filter *f);

/* Building: begin, then per rule the parts, then commit; a rule set that was
 * not committed changes nothing. */
RMR_API void rmr_filter_begin(rmr_filter *f);
/** Errors: NOMEM: the build is spoilt, commit will answer it. */
RMR_API rmr_err rmr_filter_rule_begin(rmr_filter *f);
RMR_API rmr_err rmr_filter_rule_src(rmr_filter *f, const rmr_ip_range *r);
RMR_API rmr_err rmr_filter_rule_proto(rmr_filter *f, uint8_t proto);
RMR_API rmr_err rmr_filter_rule_dst(rmr_filter *f, const rmr_ip_range *r,
                                    uint16_t first_port, uint16_t last_port);
RMR_API rmr_err rmr_filter_rule_end(rmr_filter *f);
RMR_API rmr_err rmr_filter_commit(rmr_filter *f);
/** Own addresses and advertised routes: other destinations are dropped. */
RMR_API rmr_err rmr_filter_set_local(rmr_filter *f, const rmr_prefix *p,
                                     size_t n);

/** May this packet from a peer come in?  \param jailed  No rule applies. */
RMR_API bool rmr_filter_check_in(rmr_filter *f, rmr_bytes ip_packet,
                                 bool jailed);
/** Notes our own packet, so that its replies pass. */
RMR_API void rmr_filter_note_out(rmr_filter *f, rmr_bytes ip_packet);
RMR_API uint64_t rmr_filter_dropped(const rmr_filter *f);
RMR_API size_t rmr_filter_rule_count(const rmr_filter *f);

#ifdef __cplusplus
}
#endif
#endif
