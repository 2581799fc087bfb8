/* The kit with a link of its, against a script. */
#ifndef REMORA_TEST_MC_RIG_H
#define REMORA_TEST_MC_RIG_H

#include <remora/machine.h>

#include "support.h"

typedef struct rig {
    test_alloc alloc;
    test_rng rng;
    rmr_env env;
    rmr_mc *mc;
    rmr_mc_link *link;
    rmr_time now;
    uint8_t scratch[RMR_IO_SCRATCH_MIN];
    int opened, closed, stirred;
    rmr_err why, read_err;
    char text[128], got[512], say[64];
    size_t got_len;
} rig;

/* host 10.0.0.1, with credentials, and hosts that go without it */
extern const rmr_mc_proxy rig_proxy;

/* proxy NULL: none. */
void rig_start(rig *r, const rmr_mc_proxy *proxy);
/* The same of a rig whose memory and randomness are the test's. */
rmr_err rig_new(rig *r, const rmr_mc_proxy *proxy);
void rig_end(rig *r);

/* The next operation; kind NONE: there is none. */
rmr_io_op rig_next(rig *r);
/* The link's next operation that sends; its bytes as text. */
const char *rig_sent(rig *r);
void rig_give(rig *r, rmr_io_event_kind kind, uint64_t id, const char *data);
/* Time passes, and a deadline is handled. */
void rig_pass(rig *r, rmr_dur t);

rmr_dial rig_dial_to(const char *host);
/* Dials and lets the first CONNECT open; its operation. */
rmr_io_op rig_open(rig *r, const char *host);

#endif
