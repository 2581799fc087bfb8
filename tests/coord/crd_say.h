/* What nodes say to the server inside Noise, and what it answers, for tests
 * that have a rig. */
#ifndef REMORA_TESTS_CRD_SAY_H
#define REMORA_TESTS_CRD_SAY_H

#include "crd_rig.h"
#include "server.h"

#define SIXTY_TWO                                                              \
    "00000000000000000000000000000000000000000000000000000000000000"
#define KEY1 "nodekey:" SIXTY_TWO "11"
#define KEY2 "nodekey:" SIXTY_TWO "22"
#define KEY3 "nodekey:" SIXTY_TWO "33"

bool rig_says(const rig_answer *x, const char *text);

/* A request to register that node key, by an auth key (NULL: without); `more`:
 * of the request, with a comma in front.  In a place of its own until the next
 * call. */
const char *rig_registration(const char *node, const char *auth,
                             const char *more);
rig_answer *rig_register(rig_client *cl, const char *node, const char *auth,
                         const char *more);
/* Connects and registers, which must succeed. */
void rig_enter(rig_client *cl, rig *r, uint8_t machine, const char *node,
               const char *auth);
/* Opens a map stream; zstd: its frames are to be compressed. */
rig_answer *rig_stream(rig_client *cl, const char *node, bool zstd);
/* The frames so far as lines, taken out of the answer; in a place of its own
 * until the next call. */
const char *rig_frames(rig_answer *x);

#endif
