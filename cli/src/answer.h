/*
 * The short answers of the local endpoint (docs/local-api.md).
 */
#ifndef CLI_ANSWER_H
#define CLI_ANSWER_H

#include <remora/base.h>

typedef struct cli_answer {
    bool ok;   /* "ok":true   */
    bool done; /* "done":true */
    bool direct; /* "direct":true: not by a relay */
    int64_t seq, sent, received;
    double ms;
    char ip[64];
    char name[256];
    char via[96];
    char error[512]; /* "": none */
} cli_answer;

/** False when the line is not one JSON object. */
bool cli_answer_parse(cli_answer *a, rmr_bytes line);
/** Is it {"error":...} and nothing else?  Then dst gets the sentence. */
bool cli_answer_is_error(rmr_bytes line, char *dst, size_t cap);

#endif
