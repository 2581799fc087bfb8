/* The packet log: pcap.h. */
#include "pcap.h"

#include <stdio.h>
#include <stdlib.h>

#define LINKTYPE_RAW 101u

struct pcap {
    FILE *f;
    uint32_t keep;
};

static void word(FILE *f, uint32_t v)
{
    (void)fwrite(&v, sizeof v, 1, f); /* the magic number tells the order */
}

pcap *pcap_open(const char *path, uint32_t keep)
{
    pcap *log = malloc(sizeof *log);
    FILE *f = log ? fopen(path, "wb") : NULL;
    if (!f) {
        free(log);
        return NULL;
    }
    log->f = f;
    log->keep = keep;
    word(f, 0xa1b23c4du);
    word(f, 2u | 4u << 16);
    word(f, 0);
    word(f, 0);
    word(f, keep);
    word(f, LINKTYPE_RAW);
    return log;
}

void pcap_packet(pcap *log, uint64_t now, const uint8_t *p, size_t len)
{
    if (!log)
        return;
    uint32_t keep = len < log->keep ? (uint32_t)len : log->keep;
    word(log->f, (uint32_t)(now / 1000000000u));
    word(log->f, (uint32_t)(now % 1000000000u));
    word(log->f, keep);
    word(log->f, (uint32_t)len);
    (void)fwrite(p, 1, keep, log->f);
}

void pcap_close(pcap *log)
{
    if (log)
        (void)fclose(log->f);
    free(log);
}
