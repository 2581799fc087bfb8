/* How often strangers may make the server work, or write a line. */
#ifndef REMORA_COORD_LIMITS_H
#define REMORA_COORD_LIMITS_H

#include <remora/addr.h>
#include <remora/hash.h>

#define CRD_LIMIT_SETS 256
#define CRD_LIMIT_WAYS 4

typedef struct crd_debt { /* of an address, an IPv6 network of /64 */
    uint8_t net[8], family;
    rmr_time until; /* it has made up for all */
} crd_debt;

typedef struct crd_limit {
    rmr_hash_key key;
    rmr_dur cost, most; /* of one; owed at once.  cost 0: no limit */
    crd_debt of[CRD_LIMIT_SETS][CRD_LIMIT_WAYS];
} crd_limit;

/* \param burst  At once, behind a rest; per_sec 0: there is no limit. */
void rmri_crd_limit_init(crd_limit *l, const rmr_hash_key *key,
                         uint32_t per_sec, uint32_t burst);
/* May one more come from there?  Then it counts; else *wait says when. */
bool rmri_crd_limit_take(crd_limit *l, rmr_time now, const rmr_addr *from,
                         rmr_dur *wait);

typedef struct crd_lines { /* of the log, of one kind */
    rmr_time until;
    uint64_t left_out;
} crd_lines;

/* May such a line be written?  Where some were left out before it, the log says
 * how many. */
bool rmri_crd_line(crd_lines *l, const rmr_log *log, rmr_time now,
                   const char *what);

#endif
