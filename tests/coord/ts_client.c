#include "ts_client.h"

#include <remora/text.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

static void need(rmr_err err, const char *what)
{
    if (err == RMR_OK)
        return;
    (void)fprintf(stderr, "ts_client: %s: %s\n", what, rmr_err_name(err));
    abort();
}

void ts_client_begin(ts_client *c, const uint8_t server[RMR_KEY_LEN],
                     uint8_t machine, uint16_t version)
{
    uint8_t priv[RMR_KEY_LEN] = {0}, eph[RMR_KEY_LEN] = {16, [31] = 64};
    char prologue[48];
    rmr_noise_config cfg;
    size_t len;
    priv[1] = machine;
    rmr_key_clamp(priv);
    eph[1] = machine;
    memset(&cfg, 0, sizeof cfg);
    (void)snprintf(prologue, sizeof prologue, "Tailscale Control Protocol v%u",
                   version);
    cfg.pattern = RMR_NOISE_IK;
    cfg.initiator = true;
    cfg.prologue = rmr_bytes_str(prologue);
    cfg.local_private = priv;
    cfg.remote_public = server;
    need(rmr_noise_init(&c->noise, &cfg), "noise");
    c->hello[0] = (uint8_t)(version >> 8);
    c->hello[1] = (uint8_t)version;
    c->hello[2] = RMR_TS_INITIATION;
    c->hello[3] = 0;
    c->hello[4] = RMR_NOISE_MSG1_LEN;
    need(rmr_noise_write_1(&c->noise, eph, rmr_bytes_of(NULL, 0),
                           rmr_buf_of(c->hello + 5, sizeof c->hello - 5), &len),
         "message 1");
}

void ts_client_head(const ts_client *c, char head[TS_CLIENT_HEAD])
{
    char text[RMR_BASE64_LEN(RMR_TS_INIT_LEN) + 1];
    (void)snprintf(
        head, TS_CLIENT_HEAD,
        "POST /ts2021 HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\n"
        "Content-Length: 0\r\nUpgrade: tailscale-control-protocol\r\n"
        "X-Tailscale-Handshake: %s\r\n\r\n",
        rmr_base64(text, c->hello, sizeof c->hello));
}

bool ts_client_welcome(ts_client *c, const uint8_t answer[RMR_TS_RESP_LEN])
{
    uint8_t send[RMR_KEY_LEN], recv[RMR_KEY_LEN], none[1];
    size_t len;
    rmr_alloc heap = test_alloc_table(NULL);
    if (answer[0] != RMR_TS_RESPONSE ||
        rmr_noise_read_2(&c->noise,
                         rmr_bytes_of(answer + RMR_TS_HEAD, RMR_NOISE_MSG2_LEN),
                         rmr_buf_of(none, 1), &len) != RMR_OK ||
        rmr_noise_split(&c->noise, send, recv) != RMR_OK)
        return false;
    rmr_ts_record_init(&c->record, &heap, send, recv);
    return true;
}

static size_t sealed(ts_client *c, uint8_t *frame, size_t len)
{
    size_t n = 0;
    need(rmr_ts_record_seal(&c->record, frame, len, &n), "seal");
    return n;
}

size_t ts_client_seal(ts_client *c, uint8_t frame[RMR_TS_FRAME_MAX],
                      const uint8_t *p, size_t len)
{
    memcpy(frame + RMR_TS_HEAD, p, len);
    return sealed(c, frame, len);
}

size_t ts_client_say(ts_client *c, rmr_h2 *h2, uint8_t frame[RMR_TS_FRAME_MAX])
{
    size_t len = 0;
    if (rmr_h2_write(h2, rmr_buf_of(frame + RMR_TS_HEAD, RMR_TS_PLAIN_MAX),
                     &len) != RMR_OK ||
        len == 0)
        return 0;
    return sealed(c, frame, len);
}
