/* A packet log in the pcap format: raw IP packets, times in ns. */
#ifndef REMORA_TEST_PCAP_H
#define REMORA_TEST_PCAP_H

#include <stddef.h>
#include <stdint.h>

typedef struct pcap pcap;

/* \param keep  Bytes of each packet.  NULL: it can't be written. */
pcap *pcap_open(const char *path, uint32_t keep);
void pcap_packet(pcap *log, uint64_t now, const uint8_t *p, size_t len);
void pcap_close(pcap *log); /* NULL is allowed, here and above */

#endif
