/* Places that strangers share: connections that have not shown whose they are,
 * logins that wait.  When all are taken, the address that has most of them
 * gives the oldest back, so that nobody keeps others out by asking often.
 * Addresses are counted by a keyed hash, an IPv6 network of /48 as one; two
 * that meet in one count have one share together. */
#include "crd_internal.h"

#define V6_NETWORK 6 /* bytes */

rmr_err rmri_crd_fair_init(crd_fair *f, const rmr_rng *rng)
{
    for (size_t i = 0; i < CRD_SHARES; i++)
        f->of[i].ring.next = f->of[i].ring.prev = &f->of[i].ring;
    return rmr_rng_fill(rng, &f->key, sizeof f->key);
}

static size_t share_of(const crd_fair *f, const rmr_addr *a)
{
    size_t len = rmr_addr_ip_len(a);
    if (len > V6_NETWORK)
        len = V6_NETWORK;
    return rmr_siphash(&f->key, a->ip, len) % CRD_SHARES;
}

static void append(crd_fair *f, crd_place *p)
{
    crd_link *ring = &f->of[p->share].ring;
    p->link.prev = ring->prev;
    p->link.next = ring;
    ring->prev->next = &p->link;
    ring->prev = &p->link;
    f->of[p->share].n++;
    f->all++;
}

void rmri_crd_fair_enter(crd_fair *f, crd_place *p, const rmr_addr *from)
{
    if (p->link.next)
        return;
    p->share = (uint16_t)share_of(f, from);
    append(f, p);
}

void rmri_crd_fair_leave(crd_fair *f, crd_place *p)
{
    if (!p->link.next)
        return;
    rmri_crd_unlink(&p->link);
    f->of[p->share].n--;
    f->all--;
}

void rmri_crd_fair_renew(crd_fair *f, crd_place *p)
{
    if (!p->link.next)
        return;
    rmri_crd_fair_leave(f, p);
    append(f, p);
}

size_t rmri_crd_fair_count(const crd_fair *f, const rmr_addr *from)
{
    return f->of[share_of(f, from)].n;
}

const crd_share *rmri_crd_fair_fullest(const crd_fair *f)
{
    const crd_share *most = &f->of[0];
    for (size_t i = 1; i < CRD_SHARES; i++) {
        if (f->of[i].n > most->n)
            most = &f->of[i];
    }
    return most;
}
