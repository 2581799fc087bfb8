/*
 * remora/policy.h - the policy of a tailnet: the document, and what it says
 * for each node.
 *
 * A document (rmr_pol) is read from HuJSON and checked as a whole.  A net
 * (rmr_pol_net) is the table of users and nodes with one policy in force; it
 * answers what a coordinator asks: the packet filter of a node, who sees whom,
 * which routes are shared, who may approve a route or own a tag.  The table
 * changes node by node; an answer costs by the rules and the nodes that it is
 * about, not by the size of the tailnet.
 *
 * It is not a packet filter (remora/filter.h is), elects no primary routers,
 * and keeps nothing on disk.
 *
 * Source: the policy files of Headscale 0.29 and of Tailscale (groups, hosts,
 * tagOwners, acls, grants, autoApprovers, nodeAttrs, ssh, tests, sshTests);
 * packet filters as MapResponse carries them.  Where the two differ Headscale
 * is followed; where this differs, coord/README.md says so.
 * Threading: one object, one thread.  Time: none.
 * Memory: from the rmr_alloc given; 200 to 500 bytes a node, and 40 an address
 * range of each name in use, twice.  Documents are bounded by RMR_POL_DOC_MAX.
 *
 *     rmr_pol_why why;
 *     if (rmr_pol_parse(&pol, &env.alloc, text, &why))
 *         refuse(why.line, why.column, why.text);
 *     if (rmr_pol_net_check(net, pol, &why)) refuse(...);
 *     if (rmr_pol_net_set(net, pol)) fail();     // takes it over
 *     rmr_pol_net_put_user(net, &alice);
 *     rmr_pol_net_put_node(net, &laptop);
 *     rmr_jw_init(&w, out);
 *     if (rmr_pol_write_filter(net, laptop.id, &w)) fail();
 *     if (rmr_jw_end(&w, &len)) grow();
 *     rmr_pol_each_peer(net, laptop.id, add_peer, response);
 */
#ifndef REMORA_POLICY_H
#define REMORA_POLICY_H

#include <remora/addr.h>
#include <remora/base.h>
#include <remora/json.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_POL_DOC_MAX (1u << 20)  /* bytes of a document                  */
#define RMR_POL_TAGS_MAX 64u        /* tags of a node                       */
#define RMR_POL_ROUTES_MAX 4096u    /* approved routes of a node            */
#define RMR_POL_NAME_MAX 1024u      /* bytes of a user's name, of a tag ... */
#define RMR_POL_WHY_MAX 1024u       /* bytes of a reason, with its NUL      */

/** The policy of a net that was given none: each user reaches the own nodes,
 *  and nobody else. */
#define RMR_POL_ISOLATED                                                       \
    "{\"acls\":[{\"action\":\"accept\",\"src\":[\"autogroup:member\"],"        \
    "\"dst\":[\"autogroup:self:*\"]}]}"

typedef struct rmr_pol rmr_pol;
typedef struct rmr_pol_net rmr_pol_net;

/** Why a document was refused. */
typedef struct rmr_pol_why {
    uint32_t line, column; /* from 1, of the first fault; 0: of no one place */
    char text[RMR_POL_WHY_MAX]; /* may have several lines; cut where too long */
} rmr_pol_why;

/* ---- the document ----------------------------------------------------- */

/**
 * Reads and checks a document.                                     [submit]
 *
 * \param a    Copied; all memory of the document comes from it.
 * \param doc  HuJSON, borrowed for the call.
 * \param why  NULL, or filled where the document is refused.
 *
 * Effects:  on *out, and on *why.
 * Errors:   MALFORMED (no JSON, or no policy; why tells), TOOBIG (longer than
 *           RMR_POL_DOC_MAX, or nested too deep; why tells), NOMEM; *out is
 *           untouched then.
 * Lifetime: until rmr_pol_free, or until a net that took it over lets it go.
 * Source:   Headscale's policy v2; RFC 8259 9 (limits).
 */
RMR_API rmr_err rmr_pol_parse(rmr_pol **out, const rmr_alloc *a, rmr_bytes doc,
                              rmr_pol_why *why);
/** Frees a document that no net took over; NULL does nothing.
 *  Effects: releases its memory.  Errors: none.  Source: contract M1. */
RMR_API void rmr_pol_free(rmr_pol *pol);
/** Whether tagOwners has this tag ("tag:server").                    [look]
 *  Effects: none.  Errors: none.  Source: Headscale (tags set by hand must be
 *  in the policy). */
RMR_API bool rmr_pol_defines_tag(const rmr_pol *pol, rmr_bytes tag);

/* ---- users and nodes -------------------------------------------------- */

typedef struct rmr_pol_user {
    uint64_t id;        /* not 0                                        */
    rmr_bytes name;     /* "alice", in a policy "alice@"                */
    rmr_bytes email;    /* or no bytes                                  */
    rmr_bytes provider; /* the identity provider's own id, or no bytes  */
} rmr_pol_user;

typedef struct rmr_pol_node {
    uint64_t id;      /* not 0                                              */
    uint64_t user_id; /* 0: none.  Without meaning for a node with tags     */
    rmr_addr v4, v6;  /* on the tailnet; RMR_AF_NONE where it has none      */
    const rmr_bytes *tags;    /* "tag:server"                               */
    size_t n_tags;
    const rmr_prefix *routes; /* approved and announced; /0: an exit node   */
    size_t n_routes;
    void *own;                /* the caller's, for rmr_pol_walk_peers       */
} rmr_pol_node;

/**
 * An empty table under RMR_POL_ISOLATED.                           [submit]
 *
 * Effects:  on *out.
 * Errors:   NOMEM; *out is untouched then.
 * Lifetime: until rmr_pol_net_free.
 * Source:   docs/integrating.md.
 */
RMR_API rmr_err rmr_pol_net_new(rmr_pol_net **out, const rmr_alloc *a);
/** Frees the table and the policy in force; NULL does nothing.
 *  Effects: releases their memory.  Errors: none.  Source: contract M1. */
RMR_API void rmr_pol_net_free(rmr_pol_net *net);
/**
 * What a document would do here: user names that stand for several      [look]
 * users, and its `tests` and `sshTests` against the table as it is.
 *
 * Effects: on *why where it is refused (NULL: not wanted).
 * Errors:  MALFORMED (a name or a test failed; why tells which), NOMEM.
 * Source:  Headscale runs them when a policy is written, not at start.
 */
RMR_API rmr_err rmr_pol_net_check(rmr_pol_net *net, const rmr_pol *pol,
                                  rmr_pol_why *why);
/**
 * Puts a document in force in place of the one before.             [submit]
 *
 * \param pol  Taken over where the answer is RMR_OK; NULL: RMR_POL_ISOLATED.
 *
 * Effects:  frees the document that was in force.
 * Errors:   NOMEM; nothing changed, pol is still the caller's.
 * Lifetime: pol lives until the next one, or rmr_pol_net_free.
 * Source:   docs/integrating.md.
 */
RMR_API rmr_err rmr_pol_net_set(rmr_pol_net *net, rmr_pol *pol);
/** One node, by the `own` that it was put with; false ends the walk. */
typedef bool (*rmr_pol_walk_fn)(void *user, void *own);
/**
 * The same, and tells whom it concerns.                            [submit]
 *
 * Of a node that is not told the filter, the peers, their routes, the SSH
 * policy and the attributes are as they were, to the byte.
 *
 * \param pol   Taken over where the answer is RMR_OK.
 * \param whom  Called behind the change, once for a node, in no order; may
 *              neither change the net nor walk it.  All nodes, where it can't
 *              be told.
 *
 * Effects:  as rmr_pol_net_set; calls `whom`.  Work: the rules, and the nodes
 *           that those are about which are not in both documents.
 * Errors:   NOMEM; nothing changed, pol is still the caller's.
 * Lifetime: as rmr_pol_net_set.
 * Source:   docs/integrating.md.
 */
RMR_API rmr_err rmr_pol_net_change(rmr_pol_net *net, rmr_pol *pol,
                                   rmr_pol_walk_fn whom, void *user);
/** The document in force.                                            [look]
 *  Effects: none.  Errors: none.  Source: none. */
RMR_API const rmr_pol *rmr_pol_net_policy(const rmr_pol_net *net);

/** Adds a user, or changes the one of this id; strings are copied.  [submit]
 *  Effects: on the table.
 *  Errors: INVAL (id 0, strings above RMR_POL_NAME_MAX), NOMEM; unchanged.
 *  Source: Headscale's users. */
RMR_API rmr_err rmr_pol_net_put_user(rmr_pol_net *net,
                                     const rmr_pol_user *user);
/** Forgets a user; the nodes stay, and no name stands for them.     [submit]
 *  Effects: on the table.  Errors: NOTFOUND.  Source: none. */
RMR_API rmr_err rmr_pol_net_del_user(rmr_pol_net *net, uint64_t id);
/** Whether the policy in force may say something else once such a user comes,
 *  goes or is changed: it names it, or people by their e-mail addresses.
 *                                                                     [look]
 *  Effects: none.  Errors: none.  Source: none. */
RMR_API bool rmr_pol_net_names(const rmr_pol_net *net,
                               const rmr_pol_user *user);
/**
 * Adds a node, or changes the one of this id.                      [submit]
 *
 * A change of a node changes filters and peers of that node, of those it sees
 * before, and of those it sees after: of nobody else (whose filters may at most
 * be written otherwise: addresses that are neighbours are one prefix).
 *
 * \param node  Copied with all that it points to.
 *
 * Effects: on the table.
 * Errors:  INVAL (id 0, an address of the wrong family, above a limit), INUSE
 *          (another node has the address), NOMEM; unchanged.
 * Source:  Headscale's nodes.
 */
RMR_API rmr_err rmr_pol_net_put_node(rmr_pol_net *net,
                                     const rmr_pol_node *node);
/** Forgets a node.                                                  [submit]
 *  Effects: on the table.  Errors: NOTFOUND.  Source: none. */
RMR_API rmr_err rmr_pol_net_del_node(rmr_pol_net *net, uint64_t id);

typedef struct rmr_pol_stats {
    uint64_t users, nodes, routes;
    uint64_t rules;     /* of the policy in force, before merging            */
    uint64_t aliases;   /* names it uses                                     */
    uint64_t ambiguous; /* names that stand for several users, so for nobody */
} rmr_pol_stats;

/** How much there is.                                                [look]
 *  Effects: on *out.  Errors: none.  Source: none. */
RMR_API void rmr_pol_net_stats(const rmr_pol_net *net, rmr_pol_stats *out);

/* ---- what a node is told ---------------------------------------------- */

/**
 * The packet filter of a node: a JSON array of rules, as MapResponse     [look]
 * has it under PacketFilters "base".  Empty: nothing may come in.
 *
 * \param w  In a place where a value may stand; out of room is sticky there.
 *
 * Effects: appends to w.  Work: the rules of the policy, and the output.
 * Errors:  NOTFOUND (no such node), NOMEM; nothing was appended then.
 * Source:  tailcfg.FilterRule; Headscale's compilation and reduction.
 */
RMR_API rmr_err rmr_pol_write_filter(rmr_pol_net *net, uint64_t node_id,
                                     rmr_jw *w);
/** The rules of the whole tailnet in the same form, for people to look at:
 *  without those that are each node's own (autogroup:self, via).      [look]
 *  Effects: appends to w.  Errors: NOMEM.
 *  Source: Headscale's /debug/filter. */
RMR_API rmr_err rmr_pol_write_rules(rmr_pol_net *net, rmr_jw *w);

/** Whether two nodes are told of each other: either may reach the other, by
 *  addresses, approved routes, or as exit node.                       [look]
 *  Effects: on *out.  Errors: NOTFOUND, NOMEM; *out is untouched then.
 *  Source: Headscale (a peer that nothing may pass to or from is left out). */
RMR_API rmr_err rmr_pol_sees(rmr_pol_net *net, uint64_t a, uint64_t b,
                             bool *out);
/** One peer; false ends the walk. */
typedef bool (*rmr_pol_peer_fn)(void *user, uint64_t peer_id);
/** All that a node sees, by rising id.                                [look]
 *  Effects: calls `peer`, which may not change the net.
 *  Errors: NOTFOUND, NOMEM (before the first call).
 *  Source: as rmr_pol_sees. */
RMR_API rmr_err rmr_pol_each_peer(rmr_pol_net *net, uint64_t node_id,
                                  rmr_pol_peer_fn peer, void *user);

/** The same in no order, which takes no memory.                       [look]
 *  Effects: calls `peer`, which may neither change the net nor walk it.
 *  Errors: NOTFOUND, NOMEM (before the first call).
 *  Source: as rmr_pol_sees. */
RMR_API rmr_err rmr_pol_walk_peers(rmr_pol_net *net, uint64_t node_id,
                                   rmr_pol_walk_fn peer, void *user);

typedef enum rmr_pol_route {
    RMR_POL_ROUTE_NO,      /* not in the peer's AllowedIPs                   */
    RMR_POL_ROUTE_PRIMARY, /* where the peer is the primary of this route    */
    RMR_POL_ROUTE_ALWAYS   /* in any case: an exit route, or the policy sends
                              this viewer by this peer (via)                 */
} rmr_pol_route;

/** Whether an approved route of `owner` belongs in the AllowedIPs that `viewer`
 *  gets for it.  Ask only for nodes that see each other.              [look]
 *  Effects: on *out.  Errors: NOTFOUND (a node, or the route), NOMEM; *out is
 *  untouched then.
 *  Source: Headscale; exit routes only where a rule allows the internet. */
RMR_API rmr_err rmr_pol_may_route(rmr_pol_net *net, uint64_t viewer,
                                  uint64_t owner, const rmr_prefix *route,
                                  rmr_pol_route *out);

/** The SSH policy of a node, {"rules":[...]}; rules may be empty.     [look]
 *
 * \param base_url  Of the coordinator, without a slash at its end: where nodes
 *                  ask about "check" rules.
 *
 * Effects: appends to w.
 * Errors:  NOTFOUND, INVAL (a URL above RMR_POL_NAME_MAX), NOMEM; nothing was
 *          appended then.
 * Source:  tailcfg.SSHPolicy; Headscale.
 */
RMR_API rmr_err rmr_pol_write_ssh(rmr_pol_net *net, uint64_t node_id,
                                  rmr_bytes base_url, rmr_jw *w);
/** What a node asks before it lets somebody in under a "check" rule: how [look]
 *  old the person's last proof may be.
 *
 * \param user    The local user, as in the answer's URL.
 * \param period  0: a proof each time.
 *
 * Effects: on *period.
 * Errors:  NOTFOUND (a node), DENIED (no check rule lets them); *period is
 *          untouched then.
 * Source:  Headscale, checkPeriod (12 hours where none is said).
 */
RMR_API rmr_err rmr_pol_ssh_check(const rmr_pol_net *net, uint64_t from,
                                  uint64_t to, rmr_bytes user,
                                  rmr_dur *period);
/** One attribute of a node's capability map; false ends the walk. */
typedef bool (*rmr_pol_attr_fn)(void *user, rmr_bytes name);
/** The attributes that nodeAttrs and randomizeClientPort give a node, each
 *  once, in the document's order.                                     [look]
 *  Effects: calls `attr`, which may not change the net.
 *  Errors: NOTFOUND, NOMEM (before the first call).
 *  Source: Headscale, nodeAttrs. */
RMR_API rmr_err rmr_pol_each_attr(rmr_pol_net *net, uint64_t node_id,
                                  rmr_pol_attr_fn attr, void *user);

/* ---- what a node may ask for ------------------------------------------ */

/** Whether an announced route is approved at once (autoApprovers): an approver
 *  of the route, or of a prefix around it; exit routes need exitNode.  Nothing
 *  is ever withdrawn by this.                                         [look]
 *  Effects: on *out.  Errors: NOTFOUND, NOMEM; *out is untouched then.
 *  Source: Headscale, autoApprovers. */
RMR_API rmr_err rmr_pol_approves(rmr_pol_net *net, uint64_t node_id,
                                 const rmr_prefix *route, bool *out);
/** Whether a user's node may take this tag for itself: the user, a group of
 *  the user, or the owner of a tag that owns it, is in tagOwners.     [look]
 *  Effects: none.  Errors: none; false for what is unknown.
 *  Source: Headscale, tagOwners. */
RMR_API bool rmr_pol_user_may_tag(const rmr_pol_net *net, uint64_t user_id,
                                  rmr_bytes tag);
/** The same for a node that has tags: one of them owns the tag.       [look]
 *  Effects: none.  Errors: none; false for what is unknown.
 *  Source: Headscale, tagOwners (tags that own tags). */
RMR_API bool rmr_pol_node_may_tag(const rmr_pol_net *net, uint64_t node_id,
                                  rmr_bytes tag);

#ifdef __cplusplus
}
#endif
#endif
