/* lwIP, Debian's library: one connection between two interfaces in memory by
 * the raw API, MTU 1,280, sums made and checked, no delay and no loss.  The
 * windows are those that the library was built with (64 KiB); its stack is one
 * a process, so both ends are in it.  No thread is started. */
#include "peer.h"

#include <lwip/init.h>
#include <lwip/ip.h>
#include <lwip/netif.h>
#include <lwip/tcp.h>
#include <lwip/timeouts.h>

#define MTU 1280
#define QUEUE 128 /* packets; more than a window has */
#define CHUNK 65536

/* One interface and what it has sent. */
typedef struct end {
    struct netif netif;
    unsigned head, count;
    uint16_t lens[QUEUE];
    uint8_t bufs[QUEUE][MTU];
} end;

static end a, b;
static struct tcp_pcb *client;
static uint64_t received;
static int connected;
static unsigned burst; /* packets that are carried at a time */
static uint8_t data[CHUNK];

static err_t on_output(struct netif *netif, struct pbuf *p,
                       const ip4_addr_t *to)
{
    end *e = netif->state;
    (void)to;
    if (e->count == QUEUE || p->tot_len > MTU)
        peer_die("the queue is too small");
    unsigned at = (e->head + e->count++) % QUEUE;
    e->lens[at] = pbuf_copy_partial(p, e->bufs[at], MTU, 0);
    return ERR_OK;
}

static err_t on_netif(struct netif *netif)
{
    netif->output = on_output;
    netif->mtu = MTU;
    netif->name[0] = 'p';
    netif->name[1] = 'p';
    return ERR_OK;
}

/* A point-to-point interface: its gateway is the other end. */
static void end_add(end *e, uint8_t own, uint8_t other)
{
    ip4_addr_t ip, mask, gw;
    IP4_ADDR(&ip, 10, 0, 0, own);
    IP4_ADDR(&mask, 255, 255, 255, 255);
    IP4_ADDR(&gw, 10, 0, 0, other);
    if (!netif_add(&e->netif, &ip, &mask, &gw, e, on_netif, ip_input))
        peer_die("netif_add");
    netif_set_link_up(&e->netif);
    netif_set_up(&e->netif);
}

static void carry(end *from, end *to, unsigned burst)
{
    for (; from->count && burst; burst--) {
        unsigned at = from->head;
        struct pbuf *p = pbuf_alloc(PBUF_RAW, from->lens[at], PBUF_RAM);
        if (!p)
            peer_die("no memory");
        memcpy(p->payload, from->bufs[at], from->lens[at]);
        from->head = (at + 1) % QUEUE;
        from->count--;
        if (to->netif.input(p, &to->netif) != ERR_OK)
            pbuf_free(p);
    }
}

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    (void)arg;
    (void)err;
    if (!p)
        peer_die("the connection ended");
    received += p->tot_len;
    tcp_recved(pcb, p->tot_len);
    pbuf_free(p);
    return ERR_OK;
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
    (void)arg;
    if (err != ERR_OK)
        return err;
    tcp_nagle_disable(pcb);
    tcp_recv(pcb, on_recv);
    return ERR_OK;
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
    (void)arg;
    (void)pcb;
    connected = err == ERR_OK;
    return ERR_OK;
}

static void on_err(void *arg, err_t err)
{
    (void)arg;
    (void)err;
    peer_die("the connection was reset");
}

static void turn(void)
{
    size_t room = tcp_sndbuf(client);
    if (room > sizeof data)
        room = sizeof data;
    /* Its queue of segments may be full before its bytes are. */
    if (room)
        (void)tcp_write(client, data, (uint16_t)(room > 65535 ? 65535 : room),
                        TCP_WRITE_FLAG_COPY);
    tcp_output(client);
    while (a.count) {
        carry(&a, &b, burst);
        carry(&b, &a, burst);
    }
}

static void step(void *user, uint64_t *ops, uint64_t *bytes)
{
    uint64_t before = received;
    (void)user;
    for (int i = 0; i < 200; i++)
        turn();
    sys_check_timeouts();
    if (received == before)
        peer_die("nothing came through");
    *ops += 200;
    *bytes += received - before;
}

int main(int argc, char **argv)
{
    peer_args args = peer_parse(argc, argv);
    ip_addr_t to;
    lwip_init();
    /* In this order: an address that is on an interface is routed to the
     * interface added last, and the client is bound to its own. */
    end_add(&a, 1, 2);
    end_add(&b, 2, 1);
    struct tcp_pcb *l = tcp_new();
    client = tcp_new();
    if (!l || !client || tcp_bind(l, IP_ANY_TYPE, 80) != ERR_OK)
        peer_die("no memory");
    l = tcp_listen(l);
    if (!l)
        peer_die("listen");
    tcp_accept(l, on_accept);
    tcp_err(client, on_err);
    tcp_nagle_disable(client);
    tcp_bind_netif(client, &a.netif);
    IP_ADDR4(&to, 10, 0, 0, 2);
    if (tcp_connect(client, &to, 80, on_connected) != ERR_OK)
        peer_die("connect");
    for (int i = 0; i < 10; i++) {
        carry(&a, &b, QUEUE);
        carry(&b, &a, QUEUE);
    }
    if (!connected)
        peer_die("lwIP did not connect");
    burst = 64;
    peer_run(&args, "tcp/lwip/1280", step, NULL);
    burst = 2;
    peer_run(&args, "tcp2/lwip/1280", step, NULL);
    return 0;
}
