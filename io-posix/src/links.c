/* What the host knows of its network: addresses, gateways, name servers,
 * hosts; and when to look. */
#include "posix_internal.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_EVERY (3 * RMR_SEC)   /* in turns that happen anyway           */
#define CLOCK_EVERY (10 * RMR_SEC) /* where nobody tells us of changes      */
#define SETTLE (200 * RMR_MS)      /* a change seldom comes alone           */
#define READS_A_LOOK 64            /* of what tells of changes */
#define TEXT_MAX ((size_t)1 << 20) /* of a file; the rest is not told */
#ifdef __APPLE__
#define STAT_MTIME st_mtimespec
#else
#define STAT_MTIME st_mtim
#endif
#define COUNT(a) (sizeof(a) / sizeof *(a))

static const char *const files[] = {"/etc/resolv.conf", "/etc/hosts"};

/* A text file; of one that is too long, the whole lines at its start. */
static char *read_text(const char *path, size_t *len)
{
    FILE *f = fopen(path, "re");
    char *text = f ? malloc(TEXT_MAX) : NULL;
    *len = text ? fread(text, 1, TEXT_MAX, f) : 0;
    if (f)
        (void)fclose(f);
    for (size_t i = *len; *len == TEXT_MAX && i > 0; i--)
        *len = text[i - 1] == '\n' ? i : *len;
    char *small = *len ? realloc(text, *len) : NULL;
    if (*len == 0)
        free(text);
    return small || *len == 0 ? small : text;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The next word of a line, which it ends with a NUL; NULL: there is none. */
static char *next_word(char **line)
{
    char *word = *line;
    while (is_blank(*word))
        word++;
    char *end = word;
    while (*end && !is_blank(*end))
        end++;
    *line = *end ? end + 1 : end;
    *end = '\0';
    return end > word ? word : NULL;
}

/* resolv.conf(5): "nameserver", and the last of "search" and "domain". */
void rmri_posix_read_resolv(links *l, const char *path)
{
    char line[sizeof l->search], *at_word;
    FILE *f = fopen(path, "re");
    l->n_servers = 0;
    l->search[0] = '\0';
    while (f && fgets(line, sizeof line, f)) {
        at_word = line;
        const char *key = next_word(&at_word);
        bool is_server = key && strcmp(key, "nameserver") == 0;
        if (!is_server &&
            (!key || (strcmp(key, "search") && strcmp(key, "domain"))))
            continue;
        size_t at = 0;
        for (const char *w; (w = next_word(&at_word));) {
            rmr_addr a;
            if (!is_server) { /* shorter than the line it is from */
                at += (size_t)snprintf(l->search + at, sizeof l->search - at,
                                       "%s%s", at ? " " : "", w);
            } else if (l->n_servers < COUNT(l->servers) &&
                       rmr_addr_parse_ip(rmr_bytes_str(w), &a) == RMR_OK) {
                a.port = 53;
                l->servers[l->n_servers++] = a;
            }
        }
    }
    if (f)
        (void)fclose(f);
}

static rmr_addr addr_of(const struct ifaddrs *i)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    rmr_addr a;
    memset(&a, 0, sizeof a);
    int family = i->ifa_addr && (i->ifa_flags & IFF_UP) ? i->ifa_addr->sa_family
                                                        : AF_UNSPEC;
    if (family == AF_INET) {
        memcpy(&v4, i->ifa_addr, sizeof v4);
        a = rmr_addr_from_bytes(rmr_bytes_of(&v4.sin_addr, 4), 0);
    } else if (family == AF_INET6) {
        memcpy(&v6, i->ifa_addr, sizeof v6);
        a = rmr_addr_from_bytes(rmr_bytes_of(&v6.sin6_addr, 16), 0);
        a.zone = v6.sin6_scope_id;
    }
    return a;
}

static size_t ones(const void *mask, size_t len)
{
    const uint8_t *m = mask;
    size_t n = 0;
    while (n < 8 * len && (m[n / 8] & (0x80u >> (n % 8))))
        n++;
    return n;
}

/* The interface, and the length of its subnet's prefix. */
static rmr_io_link link_of(const struct ifaddrs *i)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    rmr_io_link l;
    memset(&l, 0, sizeof l);
    (void)snprintf(l.name, sizeof l.name, "%.15s", i->ifa_name);
    if (!i->ifa_netmask)
        return l;
    if (i->ifa_addr->sa_family == AF_INET) {
        memcpy(&v4, i->ifa_netmask, sizeof v4);
        l.bits = (uint8_t)ones(&v4.sin_addr, 4);
    } else {
        memcpy(&v6, i->ifa_netmask, sizeof v6);
        l.bits = (uint8_t)ones(&v6.sin6_addr, 16);
    }
    return l;
}

typedef struct found { /* own addresses, of interfaces that are up */
    rmr_addr addrs[COUNT(((links *)0)->addrs)];
    rmr_io_link of_addrs[COUNT(((links *)0)->addrs)];
    size_t n;
} found;

/* What any host has. */
static bool ask_libc(found *f)
{
    struct ifaddrs *all = NULL;
    f->n = 0;
    if (getifaddrs(&all) != 0)
        return false;
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        rmr_addr a = addr_of(i);
        if (a.family && f->n < COUNT(f->addrs)) {
            f->of_addrs[f->n] = link_of(i);
            f->addrs[f->n++] = a;
        }
    }
    freeifaddrs(all);
    return true;
}

/* Own addresses; loopback ones only where there are no others. */
static void read_addrs(links *l)
{
    found f;
    bool told = l->fd >= 0 &&
                rmri_posix_own_addrs(f.addrs, f.of_addrs, COUNT(f.addrs), &f.n);
    if (!told && !ask_libc(&f))
        return;
    l->n_addrs = 0;
    for (int loopback = 0; loopback < 2 && l->n_addrs == 0; loopback++) {
        for (size_t i = 0; i < f.n; i++) {
            if (rmr_addr_is_loopback(&f.addrs[i]) == (loopback == 1)) {
                l->of_addrs[l->n_addrs] = f.of_addrs[i];
                l->addrs[l->n_addrs++] = f.addrs[i];
            }
        }
    }
}

static bool differ(const rmr_addr *a, size_t n_a, const rmr_addr *b, size_t n_b)
{
    return n_a != n_b || memcmp(a, b, n_a * sizeof *a) != 0;
}

/* Whether own addresses or gateways are others now. */
static bool has_moved(links *l)
{
    rmr_addr addrs[COUNT(l->addrs)], gateways[COUNT(l->gateways)];
    size_t n_addrs = l->n_addrs, n_gateways = l->n_gateways;
    memcpy(addrs, l->addrs, sizeof addrs);
    memcpy(gateways, l->gateways, sizeof gateways);
    read_addrs(l);
    l->n_gateways = rmri_posix_gateways(l->gateways, COUNT(l->gateways));
    return differ(addrs, n_addrs, l->addrs, l->n_addrs) ||
           differ(gateways, n_gateways, l->gateways, l->n_gateways);
}

static void look(rmr_posix *p)
{
    links *l = &p->links;
    bool is_new = l->looked_at == 0;
    l->looked_at = p->now;
    l->due = l->fd < 0 ? rmr_time_add(p->now, CLOCK_EVERY) : RMR_TIME_NEVER;
    is_new = has_moved(l) || is_new;
    for (size_t i = 0; i < 2; i++) {
        struct stat st;
        struct timespec t = {0, 0};
        if (stat(files[i], &st) == 0)
            t = st.STAT_MTIME;
        if (t.tv_sec == l->seen[i].tv_sec && t.tv_nsec == l->seen[i].tv_nsec)
            continue;
        l->seen[i] = t;
        is_new = true;
        if (i == 0) {
            rmri_posix_read_resolv(l, files[0]);
        } else {
            free(l->hosts);
            l->hosts = read_text(files[1], &l->hosts_len);
        }
    }
    for (mach *m = p->machs; is_new && m; m = m->next)
        rmri_posix_links_tell(p, m);
}

void rmri_posix_links_check(rmr_posix *p)
{
    const links *l = &p->links;
    if (l->looked_at == 0 || p->now >= l->due ||
        rmr_time_since(p->now, l->looked_at) >= LOOK_EVERY)
        look(p);
}

/* What it says does not matter: we look.  ENOBUFS: it had more to say than the
 * socket holds. */
static bool drain(int fd)
{
    uint8_t sink[4096];
    bool has_news = false;
    for (int i = 0; i < READS_A_LOOK; i++) {
        ssize_t n = recv(fd, sink, sizeof sink, 0);
        if (n < 0 && rmri_posix_would_block(errno))
            break;
        has_news = true;
    }
    return has_news;
}

void rmri_posix_links_news(rmr_posix *p)
{
    links *l = &p->links;
    if (p->has_link_news && drain(l->fd))
        l->due = rmr_time_min(l->due, rmr_time_add(p->now, SETTLE));
    rmri_posix_links_check(p);
}

void rmri_posix_links_open(rmr_posix *p, bool by_clock)
{
    p->links.fd = by_clock ? -1 : rmri_posix_routes_open();
    if (p->links.fd >= 0)
        rmri_posix_watch_fd(p, &p->links.fd);
}

void rmri_posix_links_close(rmr_posix *p)
{
    rmri_posix_watch_close(p, p->links.fd, true);
    free(p->links.hosts);
}

void rmri_posix_links_tell(rmr_posix *p, mach *m)
{
    const links *l = &p->links;
    rmr_io_links told = {
        .addrs = l->addrs,
        .n_addrs = l->n_addrs,
        .of_addrs = l->of_addrs,
        .gateways = l->gateways,
        .n_gateways = l->n_gateways,
        .name_servers = l->servers,
        .n_name_servers = l->n_servers,
        .hosts = rmr_bytes_of(l->hosts, l->hosts_len),
        .search = rmr_bytes_str(l->search),
    };
    rmr_io_event ev = rmri_posix_event(RMR_IO_LINKS, 0, RMR_OK);
    ev.links = &told;
    rmri_posix_tell(p, m, ev);
}
