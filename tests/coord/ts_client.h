/* A client of TS2021 up to where HTTP/2 begins: its handshake and its records.
 * Whose connection they go by is the caller's. */
#ifndef REMORA_TESTS_TS_CLIENT_H
#define REMORA_TESTS_TS_CLIENT_H

#include <remora/h2.h>
#include <remora/noise.h>
#include <remora/ts2021.h>

#define TS_CLIENT_HEAD 512

typedef struct ts_client {
    rmr_noise noise;
    rmr_ts_record record; /* once it was welcome */
    uint8_t hello[RMR_TS_INIT_LEN]; /* its initiation */
} ts_client;

/* Begins with a server of that key; `machine` makes the client's own. */
void ts_client_begin(ts_client *c, const uint8_t server[RMR_KEY_LEN],
                     uint8_t machine, uint16_t version);
/* The request that takes the initiation to the server. */
void ts_client_head(const ts_client *c, char head[TS_CLIENT_HEAD]);
/* The server's answer, behind the head of its 101; false: it is none. */
bool ts_client_welcome(ts_client *c, const uint8_t answer[RMR_TS_RESP_LEN]);

/* A record of that much, RMR_TS_PLAIN_MAX at the most.  \return its length. */
size_t ts_client_seal(ts_client *c, uint8_t frame[RMR_TS_FRAME_MAX],
                      const uint8_t *p, size_t len);
/* A record of what HTTP/2 has to say; 0: nothing. */
size_t ts_client_say(ts_client *c, rmr_h2 *h2,
                     uint8_t frame[RMR_TS_FRAME_MAX]);

#endif
