/* Stands in for the header of Apple's systems, so that io-posix/src/route.c can
 * be built and tested elsewhere: what that file uses, as route(4) describes it. */
#ifndef REMORA_TEST_BSD_ROUTE_H
#define REMORA_TEST_BSD_ROUTE_H

#include <stdint.h>
#include <sys/types.h>

#define RTM_VERSION 5
#define RTF_UP 0x1
#define RTF_GATEWAY 0x2
#define RTF_IFSCOPE 0x1000000

enum { RTAX_DST, RTAX_GATEWAY, RTAX_NETMASK, RTAX_GENMASK, RTAX_MAX = 8 };
#define RTA_DST (1 << RTAX_DST)
#define RTA_GATEWAY (1 << RTAX_GATEWAY)
#define RTA_NETMASK (1 << RTAX_NETMASK)

struct rt_msghdr {
    uint16_t rtm_msglen;
    uint8_t rtm_version, rtm_type;
    uint16_t rtm_index;
    int rtm_flags, rtm_addrs;
    pid_t rtm_pid;
    int rtm_seq, rtm_errno, rtm_use;
    uint32_t rtm_inits;
    uint32_t rtm_metrics[14];
};

#endif
