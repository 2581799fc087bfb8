/* ICMP echo: an unprivileged datagram socket where the host gives one, else a
 * raw one, which tells all ICMP that comes, IPv4 with its header. */
#include "posix_internal.h"

#include <errno.h>

#define V4_ECHO_REPLY 0   /* RFC 792 */
#define V6_ECHO_REPLY 129 /* RFC 4443 4.2 */
#define ECHO_HEADER 8

int rmri_posix_icmp_socket(uint8_t family, uint8_t *form)
{
    static const int types[] = {SOCK_DGRAM, SOCK_RAW};
    static const uint8_t forms[] = {ICMP_DGRAM, ICMP_RAW};
    int fd = -1;
    bool is_six = family == RMR_AF_INET6;
    errno = EAFNOSUPPORT;
    if (!is_six && family != RMR_AF_INET)
        return -1;
    for (int i = 0; i < 2 && fd < 0; i++) {
        fd =
            rmri_posix_socket(is_six ? AF_INET6 : AF_INET, types[i],
                              is_six ? (int)IPPROTO_ICMPV6 : (int)IPPROTO_ICMP);
        *form = forms[i];
    }
    /* No such type or protocol: to a machine the same as no such family. */
    if (fd < 0 && (errno == EPROTONOSUPPORT || errno == EPROTOTYPE))
        errno = EAFNOSUPPORT;
    return fd;
}

bool rmri_posix_icmp_reply(const obj *o, rmr_buf *data)
{
    bool is_six = o->to.family == RMR_AF_INET6;
    size_t skip = 0;
#ifdef __APPLE__ /* its datagram form tells the IP header too */
    bool has_header = !is_six;
#else
    bool has_header = !is_six && o->icmp == ICMP_RAW;
#endif
    if (has_header && data->len)
        skip = (size_t)(data->ptr[0] & 0x0f) * 4;
    if (data->len < skip + ECHO_HEADER)
        return false;
    *data = rmr_buf_of(data->ptr + skip, data->len - skip);
    return data->ptr[0] == (is_six ? V6_ECHO_REPLY : V4_ECHO_REPLY);
}
