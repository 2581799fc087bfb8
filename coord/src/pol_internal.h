/* What the files of the policy share: memory, address sets, the document as it
 * is kept, the table, and a policy compiled for it. */
#ifndef REMORA_COORD_POL_INTERNAL_H
#define REMORA_COORD_POL_INTERNAL_H

#include <remora/policy.h>

#include <stdarg.h>

#define POL_NONE UINT32_MAX

/* ---- memory (pol_mem.c) ----------------------------------------------- */

/* A growing array of elements of one size. */
typedef struct pol_vec {
    void *p;
    uint32_t n, cap, size; /* size: bytes of an element */
} pol_vec;

#define POL_AT(type, v, i) (&((type *)(v)->p)[i])

/* One more element, zeroed, at the end; NULL: no memory, nothing changed. */
void *rmri_pol_vec_add(pol_vec *v, const rmr_alloc *a);
/* Room for n more. */
bool rmri_pol_vec_reserve(pol_vec *v, const rmr_alloc *a, uint32_t n);
/* A place for one at i, which was reserved before; not zeroed. */
void *rmri_pol_vec_insert(pol_vec *v, uint32_t i);
void rmri_pol_vec_remove(pol_vec *v, uint32_t i);
void rmri_pol_vec_free(pol_vec *v, const rmr_alloc *a);

/* Strings of a document: taken one by one, given back together. */
typedef struct pol_chunk {
    struct pol_chunk *next;
    size_t size;
} pol_chunk;

typedef struct pol_arena {
    rmr_alloc alloc;
    pol_chunk *chunks;
    uint8_t *at;
    size_t left;
} pol_arena;

/* A copy of `in`; false: no memory. */
bool rmri_pol_arena_copy(pol_arena *a, rmr_bytes in, rmr_bytes *out);
void rmri_pol_arena_free(pol_arena *a);

/* Less than 0, 0, more than 0. */
typedef int (*pol_cmp)(const void *a, const void *b, const void *ctx);
/* Sorts in place, in n log n for any input; elements of at most 64 bytes. */
void rmri_pol_sort(void *base, size_t n, size_t size, pol_cmp cmp,
                   const void *ctx);
int rmri_pol_bytes_cmp(rmr_bytes a, rmr_bytes b);
/* The first such byte, or NULL. */
const uint8_t *rmri_pol_chr(rmr_bytes s, uint8_t c);
bool rmri_pol_starts(rmr_bytes s, const char *with);

/* ---- text (pol_text.c) ------------------------------------------------ */

/* Text into a buffer; what does not fit is cut. Always ends with a NUL. */
typedef struct pol_text {
    char *p;
    size_t cap, len;
} pol_text;

void rmri_pol_text_init(pol_text *t, char *p, size_t cap);
void rmri_pol_text_add(pol_text *t, rmr_bytes s);
/* printf with one conversion more: %Q is a pointer to rmr_bytes, quoted; %B
 * the same without quotes.  Beside them %s, %u and %%. */
void rmri_pol_text_fmt(pol_text *t, const char *fmt, ...);
void rmri_pol_text_vfmt(pol_text *t, const char *fmt, va_list ap);

/* ---- address sets (pol_set.c) ------------------------------------------ */

typedef struct pol_ip { /* IPv4 in lo */
    uint64_t hi, lo;
} pol_ip;

typedef struct pol_range { /* from a to b, both within */
    pol_ip a, b;
    uint8_t family;
} pol_range;

/* Ranges, sorted, that neither overlap nor touch: after rmri_pol_set_done. */
typedef struct pol_set {
    pol_vec r; /* pol_range */
} pol_set;

int rmri_pol_ip_cmp(pol_ip a, pol_ip b);
pol_ip rmri_pol_ip_of(const rmr_addr *a);
pol_range rmri_pol_range_of(const rmr_prefix *p); /* host bits are dropped */
pol_range rmri_pol_range_one(uint8_t family, pol_ip ip);
int rmri_pol_range_cmp(const void *a, const void *b, const void *ctx);
bool rmri_pol_range_overlaps(const pol_range *a, const pol_range *b);
bool rmri_pol_range_within(const pol_range *in, const pol_range *out);

void rmri_pol_set_init(pol_set *s);
void rmri_pol_set_free(pol_set *s, const rmr_alloc *a);
void rmri_pol_set_clear(pol_set *s);
/* Adds at the end, without order; false: no memory. */
bool rmri_pol_set_add(pol_set *s, const rmr_alloc *a, const pol_range *r);
bool rmri_pol_set_add_all(pol_set *s, const rmr_alloc *a, const pol_set *from);
void rmri_pol_set_done(pol_set *s);
/* The first range that overlaps r, or the number of ranges. */
uint32_t rmri_pol_set_find(const pol_set *s, const pol_range *r);
bool rmri_pol_set_overlaps(const pol_set *s, const pol_range *r);
bool rmri_pol_set_has_range(const pol_set *s, const pol_range *r); /* just so */
bool rmri_pol_set_eq(const pol_set *a, const pol_set *b);
uint64_t rmri_pol_set_hash(const pol_set *s);
/* Takes the largest prefix off the front of *r; false when it was the last. */
bool rmri_pol_range_split(pol_range *r, pol_range *prefix);
/* As Headscale prints a range: an address, a prefix, or "a-b". */
#define POL_RANGE_TEXT_MAX (2 * RMR_ADDR_TEXT_MAX)
const char *rmri_pol_range_text(const pol_range *r,
                                char dst[POL_RANGE_TEXT_MAX]);
/* A range that is a prefix, with its bits even where it is one address. */
const char *rmri_pol_prefix_text(const pol_range *r,
                                 char dst[RMR_PREFIX_TEXT_MAX]);

/* Fixed sets. */
extern const pol_range rmri_pol_tailnet[3];  /* what "*" is as a source */
extern const pol_range rmri_pol_internet[];  /* autogroup:internet      */
extern const uint32_t rmri_pol_n_internet;
extern const pol_range rmri_pol_all[2];

/* ---- the JSON tree (pol_json.c) ----------------------------------------- */

typedef struct pol_json {
    rmr_bytes key;  /* within an object */
    rmr_bytes text; /* of a string or number */
    uint32_t parent, next, child, last; /* POL_NONE: none */
    uint32_t n;     /* children */
    uint32_t index; /* in its array */
    uint32_t line, column;
    uint8_t kind; /* rmr_json_kind; containers: the beginning */
} pol_json;

typedef struct pol_tree {
    const rmr_alloc *alloc;
    pol_arena *text;
    pol_vec nodes; /* pol_json; the root is 0 */
    uint32_t open; /* while reading */
    rmr_bytes key;
    rmr_bytes doc;
    uint32_t pos, line, line_at;
} pol_tree;

/* On an error *why is filled (but for NOMEM). */
rmr_err rmri_pol_tree_read(pol_tree *t, const rmr_alloc *a, pol_arena *text,
                           rmr_bytes doc, rmr_pol_why *why);
void rmri_pol_tree_free(pol_tree *t);
/* Writes a value, without white space. */
void rmri_pol_tree_write(const pol_tree *t, uint32_t node, rmr_jw *w);

/* ---- the document --------------------------------------------------------- */

typedef struct pol_span { /* of some array */
    uint32_t first, n;
} pol_span;

enum pol_kind {
    POL_PREFIX,
    POL_STAR,
    POL_USER,
    POL_GROUP,
    POL_TAG,
    POL_AUTO,
    POL_HOST
};

enum pol_auto {
    POL_AUTO_INTERNET,
    POL_AUTO_MEMBER,
    POL_AUTO_NONROOT,
    POL_AUTO_TAGGED,
    POL_AUTO_SELF,
    POL_AUTO_DANGER,
    POL_AUTO_OTHER
};

/* A name as it stands at one place, or once for all places (pol->aliases). */
typedef struct pol_alias {
    rmr_bytes text;
    rmr_prefix prefix; /* PREFIX, and HOST where defined */
    uint32_t id;       /* in pol->aliases                */
    uint32_t def;      /* of the group, tag or host; POL_NONE: not defined */
    uint32_t line, column;
    uint8_t kind, autogroup;
} pol_alias;

typedef struct pol_ports {
    uint16_t first, last;
} pol_ports;

typedef struct pol_ip_entry { /* what of the Internet protocol is allowed */
    pol_span ports;
    int16_t proto; /* -1: none given */
} pol_ip_entry;

typedef struct pol_cap {
    rmr_bytes name, value; /* value: JSON */
} pol_cap;

/* A grant, or one destination of an ACL. Spans are of pol->uses, but where
 * another array is named. */
typedef struct pol_rule {
    pol_span src, dst, via;
    pol_span ip;   /* pol->ips  */
    pol_span caps; /* pol->caps */
    uint32_t acl;  /* its number; POL_NONE: a grant */
    uint32_t line, column;
    bool has_caps;
} pol_rule;

typedef struct pol_def { /* a group, tag or host: sorted by name */
    rmr_bytes name;
    pol_span list;     /* members or owners */
    rmr_prefix prefix; /* of a host         */
    uint32_t line, column;
    uint32_t mark, next; /* while owners of tags are looked for */
} pol_def;

typedef struct pol_approver {
    pol_range route;
    pol_span by;
} pol_approver;

typedef struct pol_attr {
    pol_span targets;
    pol_span names; /* pol->names */
} pol_attr;

typedef struct pol_ssh {
    pol_span src, dst;
    pol_span users, env; /* pol->names */
    uint32_t line, column;
    bool check, has_action, has_period, always;
    int64_t period_ns;
} pol_ssh;

typedef struct pol_test_dst {
    rmr_bytes text; /* as it stands */
    uint32_t use;
    pol_ports ports;
} pol_test_dst;

typedef struct pol_test {
    pol_span src;          /* one */
    pol_span accept, deny; /* pol->test_dsts */
    rmr_bytes src_text, proto_text;
    int16_t proto;
    uint32_t line, column;
} pol_test;

typedef struct pol_ssh_test {
    pol_span src; /* one */
    pol_span dst;
    pol_span accept, deny, check; /* pol->names */
    uint32_t line, column;
} pol_ssh_test;

struct rmr_pol {
    pol_arena arena;
    pol_vec uses, aliases;       /* pol_alias */
    pol_vec groups, tags, hosts; /* pol_def   */
    pol_vec rules;               /* pol_rule: grants, then ACLs */
    pol_vec ips, ports, caps, approvers, attrs, names, ssh;
    pol_vec tests, test_dsts, ssh_tests;
    pol_span exit_approvers;
    uint32_t n_acls;
    uint32_t mark;
    bool has_rules; /* acls or grants are there, be they empty */
    bool randomize_port;
};

pol_alias *rmri_pol_use(const rmr_pol *pol, pol_span s, uint32_t i);
/* The definition of a name, or POL_NONE. */
uint32_t rmri_pol_def_find(const pol_vec *defs, rmr_bytes name);

/* ---- reading it ------------------------------------------------------------ */

typedef struct pol_reader {
    rmr_pol *pol;
    rmr_alloc alloc;
    pol_tree tree;
    rmr_pol_why *why;
    rmr_err err; /* the first; nothing is read after it */
    char list[RMR_POL_WHY_MAX];
    pol_text errors; /* what rmri_pol_check finds, in list */
    uint32_t n_errors;
} pol_reader;

/* pol_read.c: all return false once r->err is set. */
bool rmri_pol_fail(pol_reader *r, uint32_t node, const char *fmt, ...);
/* "json: cannot unmarshal JSON string into Go T within ...: fmt"; fmt NULL:
 * without it. */
bool rmri_pol_fail_as(pol_reader *r, uint32_t node, const char *type,
                      const char *fmt, ...);
bool rmri_pol_nomem(pol_reader *r);
const pol_json *rmri_pol_node(const pol_reader *r, uint32_t node);
typedef struct pol_field {
    const char *name;
    bool (*read)(pol_reader *r, uint32_t node, void *into);
} pol_field;
/* Members by table; a null is as a member that is not there. */
bool rmri_pol_read_object(pol_reader *r, uint32_t node, const char *type,
                          const pol_field *fields, size_t n, bool skip_hash,
                          void *into);
typedef bool (*pol_item_fn)(pol_reader *r, uint32_t node, void *into);
bool rmri_pol_read_array(pol_reader *r, uint32_t node, const char *type,
                         pol_item_fn item, void *into);
bool rmri_pol_want_string(pol_reader *r, uint32_t node, const char *type);
/* Strings into pol->names. */
bool rmri_pol_read_names(pol_reader *r, uint32_t node, pol_span *out);

/* pol_alias.c */
bool rmri_pol_alias_parse(pol_alias *out, rmr_bytes text);
bool rmri_pol_add_use(pol_reader *r, uint32_t node, const pol_alias *a);
bool rmri_pol_read_aliases(pol_reader *r, uint32_t node, pol_span *out);
/* "host:ports" as one use, and its ports as a span of pol->ports. */
bool rmri_pol_read_target(pol_reader *r, uint32_t node, pol_alias *out,
                          pol_span *ports);
/* NULL, or what is wrong; what was read went to pol->ports. */
const char *rmri_pol_parse_ports(pol_reader *r, rmr_bytes text, pol_span *out);
/* A protocol's number, or -1 where the text is empty; false: reported. */
bool rmri_pol_parse_proto(pol_reader *r, uint32_t node, const char *type,
                          rmr_bytes text, bool by_number, int16_t *out);
/* "tcp", or the number in `room`. */
const char *rmri_pol_proto_name(int16_t proto, char room[8]);
bool rmri_pol_tag_ok(rmr_bytes tag);
rmr_bytes rmri_pol_trim(rmr_bytes s);

/* pol_read_rules.c, pol_read_ssh.c, pol_read_tests.c */
bool rmri_pol_read_acls(pol_reader *r, uint32_t node, void *into);
bool rmri_pol_read_grants(pol_reader *r, uint32_t node, void *into);
bool rmri_pol_read_ssh(pol_reader *r, uint32_t node, void *into);
bool rmri_pol_read_tests(pol_reader *r, uint32_t node, void *into);
bool rmri_pol_read_ssh_tests(pol_reader *r, uint32_t node, void *into);

/* pol_check.c: what can only be said of the whole. */
void rmri_pol_check(pol_reader *r);
void rmri_pol_check_tests(pol_reader *r);
void rmri_pol_report(pol_reader *r, uint32_t line, uint32_t column,
                     const char *fmt, ...);

/* ---- the table (pol_users.c, pol_table.c) ------------------------------------------------- */

typedef struct pol_user {
    uint64_t id;
    rmr_bytes name, email, provider;
    size_t size; /* of the block */
} pol_user;

enum { POL_TOKEN_PROVIDER, POL_TOKEN_NAME, POL_TOKEN_EMAIL, POL_TOKENS };

typedef struct pol_token { /* what may stand in a policy for a user */
    rmr_bytes text;        /* the user's */
    uint64_t user;
    uint8_t kind;
} pol_token;

typedef struct pol_node {
    uint64_t id, user_id;
    pol_ip ip[2]; /* IPv4, IPv6 */
    bool has[2];
    bool exit;
    uint32_t n_tags, n_routes; /* routes: with exit routes */
    rmr_bytes *tags;
    rmr_prefix *routes;
    uint64_t mark; /* of the walk that found it */
    struct pol_node *found; /* the one that it found before */
    void *own; /* the caller's */
    size_t size;
} pol_node;

typedef struct pol_addr_entry {
    pol_ip ip;
    pol_node *node;
} pol_addr_entry;

typedef struct pol_route_entry { /* subnet routes; not exit routes */
    pol_range r;
    pol_node *node;
} pol_route_entry;

struct pol_comp;

struct rmr_pol_net {
    rmr_alloc alloc;
    pol_vec users;   /* pol_user *, by id                  */
    pol_vec tokens;  /* pol_token, by text, user and kind  */
    pol_vec nodes;   /* pol_node *, by id                  */
    pol_vec by_user; /* untagged ones, by user, then by id */
    pol_vec addrs[2];
    pol_vec routes;  /* pol_route_entry, by range, then by id */
    pol_vec exits;   /* pol_node *, by id */
    uint64_t mark;
    struct pol_comp *comp;
};

static const uint8_t rmri_pol_family[2] = {RMR_AF_INET, RMR_AF_INET6};

/* The first element whose id is not below; of pointers to what begins with an
 * id. */
uint32_t rmri_pol_lower(const pol_vec *v, uint64_t id);
/* Copies text to *at, which moves behind it. */
rmr_bytes rmri_pol_put_text(uint8_t **at, rmr_bytes s);
pol_user *rmri_pol_user(const rmr_pol_net *net, uint64_t id);
/* Whom a name stands for; 0: nobody, or (*ambiguous) several.  A provider's id
 * counts more than names and e-mail addresses. */
uint64_t rmri_pol_whose(const rmr_pol_net *net, rmr_bytes token,
                        bool *ambiguous);
pol_node *rmri_pol_find(const rmr_pol_net *net, uint64_t id);
bool rmri_pol_has_tag(const pol_node *n, rmr_bytes tag);
/* Of one user, whom there is. */
bool rmri_pol_same_owner(const pol_node *a, const pol_node *b);
/* The untagged nodes of a user, a span of net->by_user; none of nobody. */
pol_span rmri_pol_nodes_of(const rmr_pol_net *net, uint64_t user_id);
/* The first address of a family that is not below ip. */
uint32_t rmri_pol_addr_at(const rmr_pol_net *net, int family, pol_ip ip);
/* The subnet routes of a node as ranges, one by one from *i = 0; false: over. */
bool rmri_pol_next_route(const pol_node *n, uint32_t *i, pol_range *out);

/* ---- a policy for a table (pol_comp.c) --------------------------------------- */

typedef struct pol_names { /* an alias, resolved */
    pol_set set;
    uint64_t user; /* USER: whom it stands for; 0: nobody */
    bool used;    /* in lines that need the set */
    bool stale;   /* the set is not up to date  */
    bool changed; /* it was made anew; who is made of it was not yet */
    bool ambiguous;
} pol_names;

typedef struct pol_self { /* sources for the nodes of one user */
    uint64_t user;  /* the last that was asked for; 0: none */
    uint64_t table; /* comp->table then */
    uint64_t hash;
    pol_set set;
    pol_vec text; /* the same as a JSON array */
} pol_self;

typedef struct pol_src { /* the sources of one grant or ACL */
    pol_span list;
    pol_self self; /* for autogroup:self */
    pol_set all;
    uint64_t hash;
    /* Beside "*": the ranges of the other names that stand in no other place,
     * in the order of the document. */
    pol_vec extra; /* pol_extra */
    bool star, danger;
    bool used; /* all, extra and hash are needed */
} pol_src;

typedef struct pol_extra {
    pol_range r;
    uint32_t order;
} pol_extra;

enum pol_what { POL_IP, POL_CAP, POL_COMPANION };
enum pol_for { POL_EACH, POL_SELF, POL_VIA };

typedef struct pol_line { /* one rule of a filter, before reduction */
    uint32_t src;  /* comp->srcs */
    uint32_t rule; /* pol->rules */
    uint32_t ip;   /* pol->ips, POL_IP */
    uint8_t what, whom;
    uint8_t companion; /* which pair, POL_COMPANION */
} pol_line;

typedef struct pol_comp {
    rmr_pol *pol;
    pol_vec names; /* pol_names, by alias */
    pol_vec srcs;  /* pol_src */
    pol_vec lines; /* pol_line */
    uint64_t ambiguous;
    uint64_t table; /* rises with each change of it */
    bool stale; /* something below is */
} pol_comp;

rmr_err rmri_pol_comp_new(pol_comp **out, const rmr_pol_net *net, rmr_pol *pol);
/* The sets of these are wanted too. */
void rmri_pol_comp_use(pol_comp *c, pol_span uses);
void rmri_pol_comp_free(pol_comp *c, const rmr_alloc *a, bool with_pol);
/* After a change of the table: what depends on it has to be looked up again. */
void rmri_pol_comp_user(pol_comp *c, const rmr_pol_net *net, const pol_user *u);
void rmri_pol_comp_node(pol_comp *c, const pol_node *n);
/* Brings all up to date; NOMEM: it stays stale. */
rmr_err rmri_pol_comp_fresh(pol_comp *c, const rmr_pol_net *net);
/* Whether a node is what the alias says, by who it is (PREFIX, HOST, STAR: by
 * its addresses). */
bool rmri_pol_is(const pol_comp *c, const pol_alias *alias, const pol_node *n);
bool rmri_pol_any_is(const pol_comp *c, pol_span uses, const pol_node *n);
const pol_alias *rmri_pol_alias(const pol_comp *c, pol_span uses, uint32_t i);
const pol_set *rmri_pol_names_set(const pol_comp *c, const pol_alias *alias);

/* Sources: whether a rule lets a node, by its address or a route, begin. */
bool rmri_pol_src_has_node(const pol_src *s, const pol_node *n);
bool rmri_pol_src_has_range(const pol_src *s, const pol_range *r);
bool rmri_pol_src_reaches(const pol_src *s, const pol_node *n); /* or routes */
bool rmri_pol_src_is_empty(const pol_src *s);
bool rmri_pol_src_eq(const pol_src *a, const pol_src *b);

/* Destinations of a line, for POL_EACH and POL_VIA. */
bool rmri_pol_is_self(const pol_alias *a);
bool rmri_pol_dst_is_all(const pol_line *l, const pol_alias *a);
bool rmri_pol_dst_has_range(const pol_comp *c, const pol_line *l,
                            const pol_range *r);
bool rmri_pol_dst_reaches(const pol_comp *c, const pol_line *l,
                          const pol_node *n);
bool rmri_pol_dst_is_internet(const pol_comp *c, const pol_line *l);
bool rmri_pol_via_has(const pol_comp *c, const pol_line *l, const pol_node *n);

/* The sources of a POL_SELF line for the nodes of one user, who follow each
 * other when many are asked for; until the next call for them.  Errors:
 * NOMEM. */
rmr_err rmri_pol_self_srcs(rmr_pol_net *net, const pol_line *l,
                           uint64_t user_id, const pol_self **out);

/* pol_see.c: a walk that finds nodes, each once. */
typedef struct pol_walk {
    rmr_pol_net *net;
    const pol_comp *c;    /* by which it looks; fresh */
    const pol_node *node; /* whose peers it finds; NULL: of no one's */
    pol_node *first;      /* of those found, linked by `found` */
    uint32_t n;
} pol_walk;

void rmri_pol_walk_begin(pol_walk *w, rmr_pol_net *net);
/* All whom a line may be about, and at times others. */
void rmri_pol_walk_line(pol_walk *w, const pol_line *l);
void rmri_pol_walk_all(pol_walk *w);

/* pol_differ.c: whether two documents say the same outside of lines; whether
 * two lines do, for any table. */
bool rmri_pol_same_rest(const rmr_pol *a, const rmr_pol *b);
bool rmri_pol_same_line(const pol_comp *a, const pol_line *la,
                        const pol_comp *b, const pol_line *lb);

/* Whether some SSH rule goes by people's e-mail addresses. */
bool rmri_pol_ssh_has_localpart(const rmr_pol *pol);
/* pol_ssh.c: the two halves of one rule: whom it lets in as this local user,
 * and where to. */
bool rmri_pol_ssh_lets(const pol_comp *c, const rmr_pol_net *net,
                       const pol_ssh *s, const pol_node *from, rmr_bytes user);
bool rmri_pol_ssh_to(const pol_comp *c, const pol_ssh *s, const pol_node *from,
                     const pol_node *to);

/* pol_test.c, pol_ssh_test.c */
typedef struct pol_failures { /* of tests; `out` has one line each */
    pol_text out;
    uint32_t n, line, column; /* of the first */
} pol_failures;

void rmri_pol_failed(pol_failures *f, uint32_t line, uint32_t column,
                     const char *fmt, ...);
void rmri_pol_run_ssh_tests(const pol_comp *c, const rmr_pol_net *net,
                            pol_failures *f);

/* The companion capabilities, [0] given and [1] made. */
extern const char rmri_pol_companions[2][2][32];

#endif
