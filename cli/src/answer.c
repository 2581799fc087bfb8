/* Answers of the local endpoint, read by table. */
#include "answer.h"

#include <stdio.h>
#include <string.h>

#include <remora/json.h>

enum {
    F_OK = 1,
    F_DONE,
    F_DIRECT,
    F_SEQ,
    F_SENT,
    F_RECEIVED,
    F_MS,
    F_IP,
    F_NAME,
    F_VIA,
    F_ERROR
};

static const rmr_json_field fields[] = {
    {"ok", F_OK, NULL, 0},         {"done", F_DONE, NULL, 0},
    {"direct", F_DIRECT, NULL, 0}, {"seq", F_SEQ, NULL, 0},
    {"sent", F_SENT, NULL, 0},     {"received", F_RECEIVED, NULL, 0},
    {"ms", F_MS, NULL, 0},         {"ip", F_IP, NULL, 0},
    {"name", F_NAME, NULL, 0},     {"via", F_VIA, NULL, 0},
    {"error", F_ERROR, NULL, 0},
};

static void copy_text(char *dst, size_t cap, rmr_bytes text)
{
    size_t n = text.len < cap - 1 ? text.len : cap - 1;
    if (n > 0) { /* true and null have no text */
        memcpy(dst, text.ptr, n);
    }
    dst[n] = '\0';
}

static rmr_err take_value(void *user, uint32_t id, rmr_json_kind kind,
                          rmr_bytes text)
{
    cli_answer *a = user;
    switch (id) {
    case F_OK:
        a->ok = kind == RMR_JSON_TRUE;
        break;
    case F_DONE:
        a->done = kind == RMR_JSON_TRUE;
        break;
    case F_DIRECT:
        a->direct = kind == RMR_JSON_TRUE;
        break;
    case F_SEQ:
        return rmr_json_int(kind, text, &a->seq);
    case F_SENT:
        return rmr_json_int(kind, text, &a->sent);
    case F_RECEIVED:
        return rmr_json_int(kind, text, &a->received);
    case F_MS:
        return rmr_json_double(kind, text, &a->ms);
    case F_IP:
        copy_text(a->ip, sizeof a->ip, text);
        break;
    case F_NAME:
        copy_text(a->name, sizeof a->name, text);
        break;
    case F_VIA:
        copy_text(a->via, sizeof a->via, text);
        break;
    case F_ERROR:
        copy_text(a->error, sizeof a->error, text);
        break;
    default:
        break;
    }
    return RMR_OK;
}

bool cli_answer_parse(cli_answer *a, rmr_bytes line)
{
    uint8_t scratch[1024];
    rmr_json_bind bind;
    rmr_json_bind_callbacks cb = {a, NULL, take_value};

    memset(a, 0, sizeof *a);
    rmr_json_bind_init(&bind, rmr_buf_of(scratch, sizeof scratch), fields,
                       (uint32_t)(sizeof fields / sizeof fields[0]), &cb);
    return rmr_json_bind_feed(&bind, line) == RMR_OK &&
           rmr_json_bind_end(&bind) == RMR_OK;
}

bool cli_answer_is_error(rmr_bytes line, char *dst, size_t cap)
{
    static const char start[] = "{\"error\":";
    cli_answer a;
    if (line.len < sizeof start - 1 ||
        memcmp(line.ptr, start, sizeof start - 1) != 0 ||
        !cli_answer_parse(&a, line) || a.error[0] == '\0') {
        return false;
    }
    (void)snprintf(dst, cap, "%s", a.error);
    return true;
}
