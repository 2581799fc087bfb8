/* The packet log: pcap.h. */
#include "pcap.h"

#include <stdio.h>

#define LINKTYPE_RAW 101u
#define KEEP 160u /* bytes a packet: its headers and a little */

static void word(FILE *f, uint32_t v)
{
    fwrite(&v, sizeof v, 1, f); /* the magic number tells the byte order */
}

pcap *pcap_open(const char *path)
{
    FILE *f = fopen(path, "wb");
    if (!f)
        return NULL;
    word(f, 0xa1b23c4du);
    word(f, 2u | 4u << 16);
    word(f, 0);
    word(f, 0);
    word(f, KEEP);
    word(f, LINKTYPE_RAW);
    return (pcap *)f;
}

void pcap_packet(pcap *log, uint64_t now, const uint8_t *p, size_t len)
{
    FILE *f = (FILE *)log;
    if (!f)
        return;
    uint32_t keep = len < KEEP ? (uint32_t)len : KEEP;
    word(f, (uint32_t)(now / 1000000000u));
    word(f, (uint32_t)(now % 1000000000u));
    word(f, keep);
    word(f, (uint32_t)len);
    fwrite(p, 1, keep, f);
}

void pcap_close(pcap *log)
{
    if (log)
        fclose((FILE *)log);
}
