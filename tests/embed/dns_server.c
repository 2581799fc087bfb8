/* Runs "PROGRAM NAME 127.0.0.1:PORT" against a name server that loses the first
 * query and says 192.0.2.7 to every question for an IPv4 address; passes when
 * the program prints that and ends well. */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Makes a query an answer; its new length, or 0 (RFC 1035 4.1). */
static size_t answer(unsigned char *m, size_t n)
{
    static const unsigned char record[] = {0xc0, 12, 0, 1, 0,   1, 0, 0,
                                           0,    60, 0, 4, 192, 0, 2, 7};
    size_t at = 12;
    while (at < n && m[at])
        at += 1u + m[at];
    if (at + 5 > n)
        return 0;
    int is_a = m[at + 1] == 0 && m[at + 2] == 1;
    at += 5;
    m[2] = 0x81;
    m[3] = 0x80;
    memset(m + 6, 0, 6); /* no authority, no EDNS */
    m[7] = (unsigned char)is_a;
    if (!is_a)
        return at;
    memcpy(m + at, record, sizeof record);
    return at + sizeof record;
}

/* Until it is killed, however long the program takes to ask. */
static void serve(int fd)
{
    for (int i = 0;; i++) {
        unsigned char m[1024];
        struct sockaddr_in from;
        socklen_t len = sizeof from;
        ssize_t n = recvfrom(fd, m, 512, 0, (struct sockaddr *)&from, &len);
        size_t out = n > 0 && i > 0 ? answer(m, (size_t)n) : 0;
        if (out)
            (void)sendto(fd, m, out, 0, (struct sockaddr *)&from, len);
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in at;
    socklen_t len = sizeof at;
    char where[32], printed[128] = "";
    int fd = socket(AF_INET, SOCK_DGRAM, 0), out[2], status = -1;
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (argc != 2 || fd < 0 || bind(fd, (struct sockaddr *)&at, len) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0 || pipe(out) != 0)
        return 2;
    (void)snprintf(where, sizeof where, "127.0.0.1:%u",
                   (unsigned)ntohs(at.sin_port));
    pid_t server = fork();
    if (server == 0) {
        (void)close(out[0]);
        (void)close(out[1]);
        serve(fd);
        _exit(0);
    }
    pid_t child = fork();
    if (child == 0) {
        (void)dup2(out[1], 1);
        (void)execl(argv[1], argv[1], "relay.example", where, (char *)NULL);
        _exit(127);
    }
    (void)close(out[1]);
    size_t n = 0;
    for (ssize_t r;
         n < sizeof printed - 1 &&
         (r = read(out[0], printed + n, sizeof printed - 1 - n)) > 0;)
        n += (size_t)r;
    (void)waitpid(child, &status, 0);
    (void)kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
    printf("status %d, printed:\n%s", status, printed);
    return status == 0 && strcmp(printed, "192.0.2.7\n") == 0 ? 0 : 1;
}
