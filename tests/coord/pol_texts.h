/* Parts that policies of tests are made of. */
#ifndef REMORA_TESTS_POL_TEXTS_H
#define REMORA_TESTS_POL_TEXTS_H

#define SELF                                                                   \
    "{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":["          \
    "\"autogroup:self:*\"]}"
#define ACL(src, dst)                                                          \
    "{\"action\":\"accept\",\"src\":[" src "],\"dst\":[" dst "]}"
/* proto: "\"proto\":...," or nothing; src, dst: of one word each. */
#define RULE(proto, src, dst)                                                  \
    "{\"action\":\"accept\"," proto "\"src\":[\"" src "\"],\"dst\":[\"" dst    \
    "\"]}"
#define ACLS(rules) "{\"acls\":[" rules "]}"
#define TAGS "\"tagOwners\":{\"tag:server\":[\"alice@\"],\"tag:router\":[]}"
/* In front of rules. */
#define SERVER "\"tagOwners\":{\"tag:server\":[],\"tag:router\":[]},"

#endif
