/* The smaller fields of a MapResponse: names, users, health, requests. */
#include "nm_internal.h"

#include <remora/text.h>

#include <stdio.h>
#include <string.h>

/* ---- DNSConfig -------------------------------------------------------- */

static rmr_err dns_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                         rmr_bytes text)
{
    if (id == F_DNS_PROXIED) {
        nm->new_magic_dns = kind == RMR_JSON_TRUE;
        return RMR_OK;
    }
    if (kind != RMR_JSON_STRING || text.len == 0 || text.len >= NM_TEXT_MAX ||
        rmri_ctl_has_byte(text, 0) ||
        nm->new_domains.len >= (size_t)NM_MAX_DOMAINS * NM_TEXT_MAX) {
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    char *at =
        rmri_ctl_vec_add(&nm->new_domains, &nm->alloc, text.len + 1, SIZE_MAX);
    if (!at)
        return RMR_E_NOMEM;
    memcpy(at, text.ptr, text.len);
    return RMR_OK;
}

/* The whole configuration replaces the old one. */
static void dns_end(rmr_nm *nm)
{
    bool same = nm->new_magic_dns == nm->magic_dns &&
                nm->new_domains.len == nm->dns_domains.len &&
                (nm->new_domains.len == 0 ||
                 memcmp(nm->new_domains.p, nm->dns_domains.p,
                        nm->new_domains.len) == 0);
    if (!same) {
        rmri_ctl_vec old = nm->dns_domains;
        nm->dns_domains = nm->new_domains;
        nm->new_domains = old;
        nm->magic_dns = nm->new_magic_dns;
        nm->changed |= RMR_NM_DNS;
    }
    nm->new_domains.len = 0;
    nm->new_magic_dns = false;
    nm->saw_dns = true;
}

/* ---- users ------------------------------------------------------------ */

static bool find_user(const rmr_nm *nm, int64_t id, size_t *at)
{
    size_t lo = 0, hi = nm->n_users;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (nm->users[mid]->id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    *at = lo;
    return lo < nm->n_users && nm->users[lo]->id == id;
}

static rmr_err reserve_users(rmr_nm *nm)
{
    if (nm->n_users < nm->cap_users)
        return RMR_OK;
    size_t cap = nm->cap_users ? nm->cap_users * 2 : 4;
    nm_user **p =
        rmr_alloc_zero(&nm->alloc, cap * sizeof *p, _Alignof(nm_user *));
    if (!p)
        return RMR_E_NOMEM;
    if (nm->n_users)
        memcpy(p, nm->users, nm->n_users * sizeof *p);
    rmr_release(&nm->alloc, nm->users, nm->cap_users * sizeof *p);
    nm->users = p;
    nm->cap_users = cap;
    return RMR_OK;
}

static rmr_err user_end(rmr_nm *nm)
{
    size_t login = strlen(nm->user_login), display = strlen(nm->user_display);
    size_t size = sizeof(nm_user) + login + display + 2, at;
    bool known = find_user(nm, nm->user_id, &at);
    if (nm->user_id == 0 || (!known && nm->n_users >= nm->max_peers)) {
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    if (!known && reserve_users(nm))
        return RMR_E_NOMEM;
    nm_user *u = rmr_alloc_zero(&nm->alloc, size, _Alignof(nm_user));
    if (!u)
        return RMR_E_NOMEM;
    u->id = nm->user_id;
    u->size = (uint32_t)size;
    u->login_len = (uint16_t)login;
    memcpy(u->text, nm->user_login, login);
    memcpy(u->text + login + 1, nm->user_display, display);
    if (known) {
        nm_user *old = nm->users[at];
        if (old->size != u->size || memcmp(old, u, size) != 0)
            nm->changed |= RMR_NM_USERS;
        nm->users[at] = u;
        rmr_release(&nm->alloc, old, old->size);
        return RMR_OK;
    }
    memmove(nm->users + at + 1, nm->users + at,
            (nm->n_users - at) * sizeof *nm->users);
    nm->users[at] = u;
    nm->n_users++;
    nm->changed |= RMR_NM_USERS;
    return RMR_OK;
}

bool rmr_nm_user_profile(const rmr_nm *nm, int64_t id, rmr_nm_user *out)
{
    size_t at;
    if (!find_user(nm, id, &at))
        return false;
    const nm_user *u = nm->users[at];
    out->id = u->id;
    out->login = u->text;
    out->display = u->text + u->login_len + 1;
    return true;
}

/* ---- health ----------------------------------------------------------- */

static void drop_health(rmr_nm *nm, size_t i)
{
    memmove(nm->health + i, nm->health + i + 1,
            (nm->n_health - i - 1) * sizeof *nm->health);
    nm->n_health--;
    nm->changed |= RMR_NM_HEALTH;
}

/* Removes the legacy lines, or the messages but for those of this frame. */
static void clear_health(rmr_nm *nm, bool messages)
{
    for (size_t i = nm->n_health; i-- > 0;) {
        const nm_message *m = &nm->health[i];
        bool is_message = m->id[0] != '\0';
        if (is_message == messages &&
            !(messages && m->frame == nm->message_frame))
            drop_health(nm, i);
    }
}

static nm_message *find_message(rmr_nm *nm, const char *id)
{
    for (size_t i = 0; i < nm->n_health; i++) {
        if (rmri_ctl_same(nm->health[i].id, id))
            return &nm->health[i];
    }
    return NULL;
}

/* One more line; NULL with RMR_OK: too many. */
static rmr_err new_health(rmr_nm *nm, nm_message **out)
{
    *out = NULL;
    if (nm->n_health >= NM_MAX_HEALTH) {
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    if (nm->n_health == nm->cap_health) {
        size_t cap = nm->cap_health ? nm->cap_health * 2 : 2;
        nm_message *m =
            rmr_alloc_zero(&nm->alloc, cap * sizeof *m, _Alignof(nm_message));
        if (!m)
            return RMR_E_NOMEM;
        if (nm->n_health)
            memcpy(m, nm->health, nm->n_health * sizeof *m);
        rmr_release(&nm->alloc, nm->health, nm->cap_health * sizeof *m);
        nm->health = m;
        nm->cap_health = cap;
    }
    *out = &nm->health[nm->n_health++];
    memset(*out, 0, sizeof **out);
    nm->changed |= RMR_NM_HEALTH;
    return RMR_OK;
}

static rmr_err health_line(rmr_nm *nm, rmr_json_kind kind, rmr_bytes text)
{
    nm_message *m;
    if (kind != RMR_JSON_STRING)
        return RMR_OK;
    rmr_err e = new_health(nm, &m);
    if (m)
        rmri_nm_text(nm, m->text, sizeof m->text, text);
    return e;
}

static rmr_err message_end(rmr_nm *nm)
{
    char line[NM_HEALTH_TEXT];
    const char *sep = nm->msg_title[0] && nm->msg_text[0] ? ": " : "";
    nm_message *m = find_message(nm, nm->msg_id);
    size_t t = strlen(nm->msg_title), p = strlen(sep), n = strlen(nm->msg_text);
    if (t + p + n >= sizeof line)
        t = p = 0; /* the text alone fits */
    memset(line, 0, sizeof line);
    memcpy(line, nm->msg_title, t);
    memcpy(line + t, sep, p);
    memcpy(line + t + p, nm->msg_text, n);
    if (nm->msg_id[0] == '\0' || rmri_ctl_same(nm->msg_id, "*"))
        return RMR_OK;
    if (!m) {
        rmr_err e = new_health(nm, &m);
        if (!m)
            return e;
        memcpy(m->id, nm->msg_id, sizeof m->id);
    } else if (!rmri_ctl_same(m->text, line)) {
        nm->changed |= RMR_NM_HEALTH;
    }
    memcpy(m->text, line, sizeof line);
    m->frame = nm->message_frame;
    return RMR_OK;
}

static rmr_err message_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                             rmr_bytes text)
{
    nm_message *m;
    if (id == F_MESSAGE_TITLE && kind == RMR_JSON_STRING)
        rmri_nm_text(nm, nm->msg_title, sizeof nm->msg_title, text);
    if (id == F_MESSAGE_TEXT && kind == RMR_JSON_STRING)
        rmri_nm_text(nm, nm->msg_text, sizeof nm->msg_text, text);
    if (id != F_MESSAGE)
        return RMR_OK;
    if (kind == RMR_JSON_KEY) {
        rmri_nm_text(nm, nm->msg_id, sizeof nm->msg_id, text);
        nm->msg_title[0] = nm->msg_text[0] = '\0';
    } else if (kind == RMR_JSON_NULL && rmri_ctl_same(nm->msg_id, "*")) {
        clear_health(nm, true);
    } else if (kind == RMR_JSON_NULL && nm->msg_id[0]) {
        m = find_message(nm, nm->msg_id);
        if (m)
            drop_health(nm, (size_t)(m - nm->health));
    }
    return RMR_OK;
}

/* ---- requests, time, lock --------------------------------------------- */

void rmri_nm_set_ping(rmr_nm *nm, bool (*fn)(void *user, const nm_ping *ping),
                      void *user)
{
    nm->on_ping = fn;
    nm->on_ping_user = user;
}

static void ping_end(rmr_nm *nm)
{
    const nm_ping *p = &nm->ping;
    if (p->url[0] == '\0' ||
        (nm->on_ping && nm->on_ping(nm->on_ping_user, p)) ||
        !nm->cb.on_ping_request)
        return;
    nm->busy = true;
    nm->cb.on_ping_request(nm->cb.user, p->url, p->noise, p->types);
    nm->busy = false;
}

static void ping_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                       rmr_bytes text)
{
    if (id == F_PING_URL && kind == RMR_JSON_STRING)
        rmri_nm_text(nm, nm->ping.url, sizeof nm->ping.url, text);
    else if (id == F_PING_TYPES && kind == RMR_JSON_STRING)
        rmri_nm_text(nm, nm->ping.types, sizeof nm->ping.types, text);
    else if (id == F_PING_NOISE)
        nm->ping.noise = kind == RMR_JSON_TRUE;
    else if (id == F_PING_PAYLOAD && kind == RMR_JSON_STRING &&
             text.len <= sizeof nm->ping.payload) {
        if (text.len)
            memcpy(nm->ping.payload, text.ptr, text.len);
        nm->ping.payload_len = text.len;
    }
}

static void pop_browser(rmr_nm *nm, rmr_json_kind kind, rmr_bytes text)
{
    char url[1024];
    if (kind != RMR_JSON_STRING || text.len == 0)
        return;
    rmri_nm_text(nm, url, sizeof url, text);
    if (url[0] == '\0' || !nm->cb.on_pop_browser)
        return;
    nm->busy = true;
    nm->cb.on_pop_browser(nm->cb.user, url);
    nm->busy = false;
}

/* A difference of up to a minute is the way here, not a wrong clock. */
static void control_time(rmr_nm *nm, rmr_json_kind kind, rmr_bytes text)
{
    uint64_t t, minute = 60 * (uint64_t)RMR_SEC;
    if (kind != RMR_JSON_STRING || rmr_parse_time(text, &t) || t == 0)
        return;
    nm->control_time = t;
    uint64_t apart = t > nm->now ? t - nm->now : nm->now - t;
    nm->clock_offset = 0;
    if (nm->now && apart > minute && apart <= INT64_MAX)
        nm->clock_offset = t > nm->now ? (int64_t)apart : -(int64_t)apart;
}

static void lock_end(rmr_nm *nm)
{
    if (nm->lock_disabled || nm->lock_warned)
        return;
    nm->lock_warned = true;
    rmr_logf(&nm->env.log, RMR_LOG_WARN, "control",
             "tailnet lock is on: peers drop this node until its key is "
             "signed, which remora can't do");
}

/* ---- dispatch --------------------------------------------------------- */

rmr_err rmri_nm_misc_nest(rmr_nm *nm, uint32_t id, rmr_json_kind kind)
{
    bool object = kind == RMR_JSON_OBJECT;
    bool end = kind == RMR_JSON_OBJECT_END;
    switch (id) {
    case F_PING:
        if (object) {
            memset(&nm->ping, 0, sizeof nm->ping);
        } else if (end) {
            ping_end(nm);
        }
        return RMR_OK;
    case F_LOCK:
        if (object)
            nm->lock_disabled = false;
        else if (end)
            lock_end(nm);
        return RMR_OK;
    case F_DNS:
        if (object) {
            nm->new_domains.len = 0;
            nm->new_magic_dns = false;
        } else if (end) {
            dns_end(nm);
        }
        return RMR_OK;
    case F_USERS:
        if (object) {
            nm->user_id = 0;
            nm->user_login[0] = nm->user_display[0] = '\0';
        }
        return end ? user_end(nm) : RMR_OK;
    case F_HEALTH:
        if (kind == RMR_JSON_ARRAY) {
            clear_health(nm, false);
            nm->saw_health = true;
        }
        return RMR_OK;
    case F_MESSAGE:
        return end ? message_end(nm) : RMR_OK;
    default:
        return RMR_OK;
    }
}

static rmr_err user_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                          rmr_bytes text)
{
    if (id == F_USER_ID) {
        if (rmr_json_int(kind, text, &nm->user_id))
            nm->user_id = 0;
    } else if (id == F_USER_LOGIN && kind == RMR_JSON_STRING) {
        rmri_nm_text(nm, nm->user_login, sizeof nm->user_login, text);
    } else if (id == F_USER_DISPLAY && kind == RMR_JSON_STRING) {
        rmri_nm_text(nm, nm->user_display, sizeof nm->user_display, text);
    }
    return RMR_OK;
}

static void domain_value(rmr_nm *nm, rmr_json_kind kind, rmr_bytes text)
{
    char old[NM_TEXT_MAX];
    if (kind != RMR_JSON_STRING || text.len == 0) /* "": unchanged */
        return;
    memcpy(old, nm->domain, sizeof old);
    rmri_nm_text(nm, nm->domain, sizeof nm->domain, text);
    if (!rmri_ctl_same(old, nm->domain))
        nm->changed |= RMR_NM_DNS;
}

rmr_err rmri_nm_misc_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                           rmr_bytes text)
{
    if (id == F_MESSAGE || id == F_MESSAGE_TITLE || id == F_MESSAGE_TEXT)
        return message_value(nm, id, kind, text);
    if (kind == RMR_JSON_NULL)
        return RMR_OK;
    switch (id) {
    case F_KEEPALIVE:
        nm->keepalive = nm->keepalive || kind == RMR_JSON_TRUE;
        return RMR_OK;
    case F_PING_URL:
    case F_PING_NOISE:
    case F_PING_TYPES:
    case F_PING_PAYLOAD:
        ping_value(nm, id, kind, text);
        return RMR_OK;
    case F_POP_BROWSER:
        pop_browser(nm, kind, text);
        return RMR_OK;
    case F_CONTROL_TIME:
        control_time(nm, kind, text);
        return RMR_OK;
    case F_LOCK_DISABLED:
        nm->lock_disabled = kind == RMR_JSON_TRUE;
        return RMR_OK;
    case F_DOMAIN:
        domain_value(nm, kind, text);
        return RMR_OK;
    case F_DNS_PROXIED:
    case F_DNS_DOMAINS:
        return dns_value(nm, id, kind, text);
    case F_USER_ID:
    case F_USER_LOGIN:
    case F_USER_DISPLAY:
        return user_value(nm, id, kind, text);
    case F_HEALTH:
        return health_line(nm, kind, text);
    default:
        return RMR_OK;
    }
}

void rmri_nm_misc_first_frame(rmr_nm *nm)
{
    if (!nm->saw_dns) {
        nm->new_domains.len = 0;
        nm->new_magic_dns = false;
        dns_end(nm);
    }
    if (!nm->saw_health)
        clear_health(nm, false);
    clear_health(nm, true);
}

void rmri_nm_misc_free(rmr_nm *nm)
{
    for (size_t i = 0; i < nm->n_users; i++)
        rmr_release(&nm->alloc, nm->users[i], nm->users[i]->size);
    rmr_release(&nm->alloc, nm->users, nm->cap_users * sizeof *nm->users);
    rmr_release(&nm->alloc, nm->health, nm->cap_health * sizeof *nm->health);
    rmri_ctl_vec_free(&nm->dns_domains, &nm->alloc);
    rmri_ctl_vec_free(&nm->new_domains, &nm->alloc);
}
