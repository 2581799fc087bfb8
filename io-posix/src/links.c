/* What the host knows of its network: addresses, name servers, hosts. */
#include "posix_internal.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define LOOK_EVERY (3 * RMR_SEC)
#define TEXT_MAX ((size_t)1 << 20) /* of a file; the rest is not told */
#define MAX_ADDRS 256

/* A whole text file with a NUL behind it; NULL: none. */
static char *read_text(const char *path, size_t *len)
{
    FILE *f = fopen(path, "re");
    char *text = malloc(TEXT_MAX + 1);
    *len = 0;
    if (f && text)
        *len = fread(text, 1, TEXT_MAX, f);
    if (f)
        (void)fclose(f);
    if (!text)
        return NULL;
    if (*len == TEXT_MAX) /* no half line at the end */
        while (*len && text[*len - 1] != '\n')
            --*len;
    text[*len] = '\0';
    char *small = realloc(text, *len + 1);
    return small ? small : text;
}

static bool has_changed(const char *path, struct timespec *seen)
{
    struct stat st;
    struct timespec t = {0, 0};
    if (stat(path, &st) == 0)
        t = st.st_mtim;
    if (t.tv_sec == seen->tv_sec && t.tv_nsec == seen->tv_nsec)
        return false;
    *seen = t;
    return true;
}

/* resolv.conf(5): "nameserver", and the last of "search" and "domain". */
static void read_resolv(links *l)
{
    size_t len;
    char *text = read_text("/etc/resolv.conf", &len), *rest = NULL;
    l->n_servers = 0;
    l->search[0] = '\0';
    for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line;
         line = strtok_r(NULL, "\n", &rest)) {
        char *words = NULL, *key = strtok_r(line, " \t", &words), *word;
        if (!key)
            continue;
        bool is_server = strcmp(key, "nameserver") == 0;
        if (!is_server && strcmp(key, "search") && strcmp(key, "domain"))
            continue;
        if (!is_server)
            l->search[0] = '\0';
        while ((word = strtok_r(NULL, " \t\r", &words)) != NULL) {
            rmr_addr *a = &l->servers[l->n_servers];
            size_t at = strlen(l->search);
            if (!is_server && at + strlen(word) + 2 <= sizeof l->search)
                (void)snprintf(l->search + at, sizeof l->search - at, "%s%s",
                               at ? " " : "", word);
            else if (is_server && l->n_servers < 8 &&
                     rmr_addr_parse_ip(rmr_bytes_str(word), a) == RMR_OK) {
                a->port = 53;
                l->n_servers++;
            }
        }
    }
    free(text);
}

static rmr_addr addr_of(const struct ifaddrs *i)
{
    rmr_addr a;
    memset(&a, 0, sizeof a);
    if (!i->ifa_addr || !(i->ifa_flags & IFF_UP))
        return a;
    if (i->ifa_addr->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, i->ifa_addr, sizeof v4);
        a = rmr_addr_from_bytes(rmr_bytes_of(&v4.sin_addr, 4), 0);
    } else if (i->ifa_addr->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, i->ifa_addr, sizeof v6);
        a = rmr_addr_from_bytes(rmr_bytes_of(&v6.sin6_addr, 16), 0);
        a.zone = v6.sin6_scope_id;
    }
    return a;
}

/* Own addresses; loopback ones only where there are no others. */
static bool read_addrs(links *l)
{
    struct ifaddrs *all = NULL;
    rmr_addr *list = calloc(MAX_ADDRS, sizeof *list);
    size_t n = 0;
    if (!list || getifaddrs(&all) != 0) {
        free(list);
        return false;
    }
    for (int loopback = 0; loopback < 2 && n == 0; loopback++) {
        for (const struct ifaddrs *i = all; i && n < MAX_ADDRS;
             i = i->ifa_next) {
            list[n] = addr_of(i);
            n += list[n].family != RMR_AF_NONE &&
                 rmr_addr_is_loopback(&list[n]) == (loopback == 1);
        }
    }
    freeifaddrs(all);
    if (n == l->n_addrs && l->addrs &&
        memcmp(list, l->addrs, n * sizeof *list) == 0) {
        free(list);
        return false;
    }
    free(l->addrs);
    l->addrs = list;
    l->n_addrs = n;
    return true;
}

void rmri_posix_links_check(rmr_posix *p)
{
    links *l = &p->links;
    if (l->addrs && rmr_time_since(p->now, p->links_at) < LOOK_EVERY)
        return;
    p->links_at = p->now;
    bool is_new = read_addrs(l);
    if (has_changed("/etc/resolv.conf", &l->resolv_time)) {
        read_resolv(l);
        is_new = true;
    }
    if (has_changed("/etc/hosts", &l->hosts_time)) {
        free(l->hosts);
        l->hosts = read_text("/etc/hosts", &l->hosts_len);
        is_new = true;
    }
    for (mach *m = p->machs; is_new && m; m = m->next)
        rmri_posix_links_tell(p, m);
}

void rmri_posix_links_tell(rmr_posix *p, mach *m)
{
    rmr_io_links told;
    rmr_io_event ev;
    memset(&told, 0, sizeof told);
    memset(&ev, 0, sizeof ev);
    told.addrs = p->links.addrs;
    told.n_addrs = p->links.n_addrs;
    told.name_servers = p->links.servers;
    told.n_name_servers = p->links.n_servers;
    told.hosts = rmr_bytes_of(p->links.hosts, p->links.hosts_len);
    told.search = rmr_bytes_str(p->links.search);
    ev.kind = RMR_IO_LINKS;
    ev.links = &told;
    rmri_posix_tell(p, m, &ev);
}

void rmri_posix_links_free(links *l)
{
    free(l->addrs);
    free(l->hosts);
}
