/* The extra sockets of a punch: wants for the host, and who has which. */
#include "path_internal.h"

#include <stdalign.h>
#include <string.h>

#define FEWEST 64 /* below that a punch is not worth its while */

static path_sock *sock_at(const rmr_paths *p, uint16_t socket)
{
    if (!p->socks || socket == 0 || socket > RMR_PATH_MAX_SOCKET)
        return NULL;
    return &p->socks[socket - 1];
}

bool rmri_path_sock_is_open(const rmr_paths *p, uint16_t socket)
{
    const path_sock *s = sock_at(p, socket);
    return s && s->state == SOCK_OPEN;
}

void rmri_path_socks_free(rmr_paths *p)
{
    rmr_release(&p->env.alloc, p->socks,
                p->socks ? RMR_PATH_MAX_SOCKET * sizeof *p->socks : 0);
    p->socks = NULL;
    p->n_socks = 0;
    p->n_socket_wants = 0;
}

static void set_state(rmr_paths *p, path_sock *s, uint8_t state)
{
    bool wanted = s->state == SOCK_WANT_OPEN || s->state == SOCK_WANT_CLOSE;
    bool wants = state == SOCK_WANT_OPEN || state == SOCK_WANT_CLOSE;
    p->n_socket_wants += (uint32_t)wants - (uint32_t)wanted;
    if (s->state == SOCK_FREE && state != SOCK_FREE)
        p->n_socks++;
    if (s->state != SOCK_FREE && state == SOCK_FREE)
        p->n_socks--;
    s->state = state;
    if (state == SOCK_FREE)
        memset(s, 0, sizeof *s);
}

/* Up to n; false: too few are free, or no memory. */
bool rmri_path_socks_take(rmr_paths *p, path_peer *peer, uint32_t n)
{
    if (RMR_PATH_MAX_SOCKET - p->n_socks < FEWEST)
        return false;
    if (!p->socks)
        p->socks = rmr_alloc_zero(&p->env.alloc,
                                  RMR_PATH_MAX_SOCKET * sizeof *p->socks,
                                  alignof(path_sock));
    if (!p->socks) {
        p->stats.dropped_nomem++;
        return false;
    }
    for (size_t i = 0; i < RMR_PATH_MAX_SOCKET && n > 0; i++) {
        path_sock *s = &p->socks[i];
        if (s->state != SOCK_FREE)
            continue;
        set_state(p, s, SOCK_WANT_OPEN);
        s->peer = peer->id;
        n--;
    }
    return true;
}

void rmri_path_sock_close(rmr_paths *p, uint16_t socket)
{
    path_sock *s = sock_at(p, socket);
    if (!s)
        return;
    if (s->state == SOCK_WANT_OPEN)
        set_state(p, s, SOCK_FREE);
    else if (s->state == SOCK_OPENING) /* the host's answer is awaited */
        set_state(p, s, SOCK_DOOMED);
    else if (s->state == SOCK_OPEN)
        set_state(p, s, SOCK_WANT_CLOSE);
}

void rmri_path_socks_close(rmr_paths *p, uint64_t peer, uint16_t but)
{
    for (uint16_t i = 1; p->socks && i <= RMR_PATH_MAX_SOCKET; i++)
        if (i != but && (peer == 0 || p->socks[i - 1].peer == peer))
            rmri_path_sock_close(p, i);
    if (p->socks && p->n_socks == 0)
        rmri_path_socks_free(p);
}

bool rmr_paths_next_socket_op(rmr_paths *p, rmr_path_socket_op *op)
{
    if (p->n_socket_wants == 0)
        return false;
    for (uint16_t i = 1; i <= RMR_PATH_MAX_SOCKET; i++) {
        path_sock *s = &p->socks[i - 1];
        if (s->state != SOCK_WANT_OPEN && s->state != SOCK_WANT_CLOSE)
            continue;
        bool opens = s->state == SOCK_WANT_OPEN;
        op->kind = opens ? RMR_PATH_SOCKET_OPEN : RMR_PATH_SOCKET_CLOSE;
        op->socket = i;
        set_state(p, s, opens ? SOCK_OPENING : SOCK_FREE);
        if (p->n_socks == 0)
            rmri_path_socks_free(p);
        return true;
    }
    return false;
}

/* Its candidates go with it, and best when it is one of them. */
static void broke(rmr_paths *p, path_sock *s, uint16_t socket)
{
    path_peer *peer = rmr_slots_get(&p->peers, s->peer);
    path_hot *h = peer ? peer->hot : NULL;
    set_state(p, s, SOCK_FREE);
    for (size_t i = h ? h->n_cands : 0; i-- > 0;)
        if (h->cands[i].socket == socket)
            rmri_path_cand_delete(p, h, i);
}

void rmr_paths_socket_opened(rmr_paths *p, rmr_time now, uint16_t socket,
                             rmr_err err)
{
    path_sock *s = sock_at(p, socket);
    now = rmri_path_clock(p, now);
    if (!s)
        return;
    if (s->state == SOCK_OPEN && err != RMR_OK) {
        broke(p, s, socket);
    } else if (s->state == SOCK_OPENING && err == RMR_OK) {
        set_state(p, s, SOCK_OPEN);
        rmri_path_punch_opened(p, now);
    } else if (s->state == SOCK_DOOMED && err == RMR_OK) {
        set_state(p, s, SOCK_WANT_CLOSE);
    } else if (s->state == SOCK_OPENING || s->state == SOCK_DOOMED) {
        set_state(p, s, SOCK_FREE);
    }
    if (p->n_socks == 0)
        rmri_path_socks_free(p);
}
