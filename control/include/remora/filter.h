/*
 * remora/filter.h - the packet filter of a netmap: what peers may send us.
 *
 * Rules are compiled to an index, so that a verdict costs nearly the same with
 * ten rules and with ten thousand; it looks at the IP and transport headers
 * alone and never parses further than Tailscale's own filter does (a
 * cleverer parser than the peer's would be a way around it).  Replies to our
 * own UDP flows pass by a bounded table of the last 512.  It is not a
 * connection tracker: TCP is judged by its flags, fragments by their place.
 *
 * Threading: one object, one thread.  Memory: through rmr_env.alloc; 46
 * bytes a flow, in a block that doubles from 16 flows to 512; 40 to 60 bytes a
 * rule as a rule of thumb (README.md), more while rules are built.  Else
 * nothing is allocated per packet.  Time: none.
 *
 *     rmr_filter_new(&f, &env);
 *     rmr_filter_set_local(f, own, n_own);
 *     rmr_filter_begin(f);
 *     rmr_filter_rule_begin(f);
 *     rmr_ip_range_parse(rmr_bytes_str("100.64.0.1-100.64.0.9"), r, &n);
 *     rmr_filter_rule_src(f, &r[0]);
 *     rmr_filter_rule_proto(f, 6);
 *     rmr_filter_rule_dst(f, &own_range, 22, 22);
 *     rmr_filter_rule_end(f);
 *     rmr_filter_commit(f);
 *     each packet out: rmr_filter_note_out(f, packet);
 *     each packet in:  if (rmr_filter_check_in(f, packet, false)) take it;
 *
 * Source: wgengine/filter.
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

/**
 * Reads "*", an address, a CIDR, or "a-b".                            [look]
 *
 * \param n  How many ranges it gave: 2 for "*", one of each family.
 *
 * Effects: out and *n are written.
 * Errors:  MALFORMED (host bits set in a CIDR, two families, a > b); nothing is
 *          written then.
 * Source:  wgengine/filter.
 */
RMR_API rmr_err rmr_ip_range_parse(rmr_bytes text, rmr_ip_range out[2],
                                   size_t *n);

/**
 * A filter without rules or local addresses: it lets nothing in.    [submit]
 *
 * Effects: allocates.
 * Errors:  INVAL, NOMEM, RNG (the key of the flow table).
 * Lifetime: until rmr_filter_free(); env is copied.
 * Source:  wgengine/filter.
 */
RMR_API rmr_err rmr_filter_new(rmr_filter **out, const rmr_env *env);

/**
 * Frees; NULL is allowed.                                         [pump]
 *
 * Effects: rules and flows are gone.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_filter_free(rmr_filter *f);

/* Building: begin, then per rule the parts, then commit; a rule set that was
 * not committed changes nothing. */

/**
 * Begins a new set of rules, and forgets one that was not committed. [submit]
 *
 * Effects: the rules in force stay.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_filter_begin(rmr_filter *f);

/**
 * Begins a rule.  One without protocols matches none; one without sources or
 * destinations matches nothing.                                     [submit]
 *
 * Effects: may take memory; the rules in force stay.
 * Errors:  STATE (not within begin and commit, or within a rule); NOMEM, after
 *          which the build is spoilt: all calls up to commit answer it.
 * Source:  wgengine/filter.
 */
RMR_API rmr_err rmr_filter_rule_begin(rmr_filter *f);

/**
 * One more range of sources.                                        [submit]
 *
 * Effects: as rmr_filter_rule_begin.
 * Errors:  as rmr_filter_rule_begin; INVAL (no family).
 * Source:  FilterRule.SrcIPs.
 */
RMR_API rmr_err rmr_filter_rule_src(rmr_filter *f, const rmr_ip_range *r);

/**
 * One more protocol.                                                [submit]
 *
 * Effects: as rmr_filter_rule_begin.
 * Errors:  as rmr_filter_rule_begin.
 * Source:  FilterRule.IPProto.
 */
RMR_API rmr_err rmr_filter_rule_proto(rmr_filter *f, uint8_t proto);

/**
 * One more range of destinations, with its ports.                   [submit]
 *
 * Effects: as rmr_filter_rule_begin.
 * Errors:  as rmr_filter_rule_src.
 * Source:  FilterRule.DstPorts.
 */
RMR_API rmr_err rmr_filter_rule_dst(rmr_filter *f, const rmr_ip_range *r,
                                    uint16_t first_port, uint16_t last_port);

/**
 * The rule is whole; its sources are sorted and merged.             [submit]
 *
 * Effects: as rmr_filter_rule_begin.
 * Errors:  as rmr_filter_rule_begin.
 * Source:  wgengine/filter.
 */
RMR_API rmr_err rmr_filter_rule_end(rmr_filter *f);

/**
 * Puts the new rules in the place of the old.  Flows stay.          [submit]
 *
 * Effects: packets are judged by the new rules from now on.
 * Errors:  STATE (no begin, or within a rule), NOMEM (the build was spoilt);
 *          the old rules stay then.
 * Source:  wgengine/filter.
 */
RMR_API rmr_err rmr_filter_commit(rmr_filter *f);

/**
 * Own addresses and advertised routes: what goes elsewhere is dropped. [submit]
 *
 * \param p  Copied.
 *
 * Effects: takes memory; the old addresses are forgotten.
 * Errors:  NOMEM (unchanged), INVAL.
 * Source:  wgengine/filter.
 */
RMR_API rmr_err rmr_filter_set_local(rmr_filter *f, const rmr_prefix *p,
                                     size_t n);

/**
 * May this packet from a peer come in?  That its source belongs to the peer is
 * WireGuard's to check, before.                                     [submit]
 *
 * \param ip_packet  Borrowed; any bytes.
 * \param jailed     No rule applies: for a jailed peer, and for shields up.
 *
 * Effects: a flow is used; rmr_filter_dropped() counts a false.
 * Errors: none.
 * Source: wgengine/filter.
 */
RMR_API bool rmr_filter_check_in(rmr_filter *f, rmr_bytes ip_packet,
                                 bool jailed);

/**
 * May a peer open TCP there, by the rules alone?  Whether it is a local address
 * is not looked at.                                                    [look]
 *
 * \param from  The peer's address.
 * \param to    Of the same family, with the port.
 *
 * Effects: none.
 * Errors:  false for two families.
 * Source:  wgengine/filter, CheckTCP.
 */
RMR_API bool rmr_filter_allows_tcp(const rmr_filter *f, const rmr_addr *from,
                                   const rmr_addr *to);

/**
 * Notes our own packet, so that its replies pass.                   [submit]
 *
 * Effects: may take memory for up to 512 flows; the one that was used longest
 *          ago goes when there are so many, or no memory for more.
 * Errors: none.
 * Source: wgengine/filter.
 */
RMR_API void rmr_filter_note_out(rmr_filter *f, rmr_bytes ip_packet);

/**
 * How many packets did not come in.                                   [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API uint64_t rmr_filter_dropped(const rmr_filter *f);

/**
 * How many rules there are.                                           [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API size_t rmr_filter_rule_count(const rmr_filter *f);

#ifdef __cplusplus
}
#endif
#endif
