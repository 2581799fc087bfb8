/* A packet log in the pcap format: raw IP packets, times in ns. */
#ifndef SHIM_PCAP_H
#define SHIM_PCAP_H

#include <stddef.h>
#include <stdint.h>

typedef struct pcap pcap;

pcap *pcap_open(const char *path); /* NULL: it can't be written */
void pcap_packet(pcap *f, uint64_t now, const uint8_t *p, size_t len);
void pcap_close(pcap *f); /* NULL is allowed, here and above */

#endif
