/* The smaller fields of a MapResponse: names, users, health, requests. */
#include "nm_internal.h"

#include <remora/text.h>

#include <stdio.h>
#include <string.h>

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

/* The user that was read, as a block.  NULL: no memory. */
static nm_user *pack_user(rmr_nm *nm)
{
    size_t login = strlen(nm->read->user_login),
           display = strlen(nm->read->user_display);
    size_t picture = strlen(nm->read->user_picture),
           groups = nm->user_groups.len;
    size_t size = sizeof(nm_user) + login + display + picture + groups + 3;
    nm_user *u = rmr_alloc_zero(&nm->alloc, size, _Alignof(nm_user));
    if (!u)
        return NULL;
    u->id = nm->user_id;
    u->size = (uint32_t)size;
    u->frame = nm->message_frame;
    u->login_len = (uint16_t)login;
    u->display_len = (uint16_t)display;
    u->picture_len = (uint16_t)picture;
    char *at = u->text;
    memcpy(at, nm->read->user_login, login);
    memcpy(at += login + 1, nm->read->user_display, display);
    memcpy(at += display + 1, nm->read->user_picture, picture);
    at += picture + 1;
    if (groups)
        memcpy(at, nm->user_groups.p, groups);
    for (size_t i = 0; i < groups; i++)
        u->n_groups = (uint16_t)(u->n_groups + (at[i] == '\0'));
    return u;
}

/* Equal but for the mark of the frame. */
static bool same_user(const nm_user *a, const nm_user *b)
{
    return a->size == b->size && a->login_len == b->login_len &&
           a->display_len == b->display_len &&
           a->picture_len == b->picture_len &&
           memcmp(a->text, b->text, a->size - sizeof *a) == 0;
}

static rmr_err user_end(rmr_nm *nm)
{
    size_t at;
    bool known = find_user(nm, nm->user_id, &at);
    if (nm->user_id == 0 || (!known && nm->n_users >= nm->max_peers)) {
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    if (!known && reserve_users(nm))
        return RMR_E_NOMEM;
    nm_user *u = pack_user(nm);
    if (!u)
        return RMR_E_NOMEM;
    if (known) {
        nm_user *old = nm->users[at];
        if (!same_user(old, u))
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

/* Profiles come one by one and are never taken back, so a new stream is the
 * time to forget those that it did not tell. */
static void sweep_users(rmr_nm *nm)
{
    size_t kept = 0;
    for (size_t i = 0; i < nm->n_users; i++) {
        nm_user *u = nm->users[i];
        if (u->frame == nm->message_frame)
            nm->users[kept++] = u;
        else
            rmr_release(&nm->alloc, u, u->size);
    }
    if (kept != nm->n_users)
        nm->changed |= RMR_NM_USERS;
    nm->n_users = kept;
}

void rmri_nm_user_view(const nm_user *u, rmr_nm_user *out)
{
    out->id = u->id;
    out->login = u->text;
    out->display = out->login + u->login_len + 1;
    out->picture = out->display + u->display_len + 1;
    out->groups = out->picture + u->picture_len + 1;
    out->n_groups = u->n_groups;
}

bool rmr_nm_user_profile(const rmr_nm *nm, int64_t id, rmr_nm_user *out)
{
    size_t at;
    if (!find_user(nm, id, &at))
        return false;
    rmri_nm_user_view(nm->users[at], out);
    return true;
}

static rmr_err user_group(rmr_nm *nm, rmr_bytes text)
{
    rmri_ctl_vec *v = &nm->user_groups;
    if (text.len == 0 || rmri_ctl_has_byte(text, 0) ||
        v->len + text.len + 1 > NM_MAX_GROUP_BYTES) {
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    char *at = rmri_ctl_vec_add(v, &nm->alloc, text.len + 1, SIZE_MAX);
    if (!at)
        return RMR_E_NOMEM;
    memcpy(at, text.ptr, text.len);
    return RMR_OK;
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
    if (!m)
        return e;
    m->severity = RMR_NM_SEVERITY_MEDIUM;
    rmri_nm_text(nm, m->text, sizeof m->text, text);
    return RMR_OK;
}

/* Title and text as one line; the text alone where both are too long. */
static void join_line(nm_message *m)
{
    const char *sep = m->title[0] && m->body[0] ? ": " : "";
    size_t t = strlen(m->title), p = strlen(sep), n = strlen(m->body);
    if (t + p + n >= sizeof m->text)
        t = p = 0;
    memset(m->text, 0, sizeof m->text);
    memcpy(m->text, m->title, t);
    memcpy(m->text + t, sep, p);
    memcpy(m->text + t + p, m->body, n);
}

static bool same_message(const nm_message *a, const nm_message *b)
{
    return a->severity == b->severity && a->impacts == b->impacts &&
           rmri_ctl_same(a->title, b->title) &&
           rmri_ctl_same(a->body, b->body) && rmri_ctl_same(a->url, b->url) &&
           rmri_ctl_same(a->label, b->label);
}

/* The message that was read stands for all that was said under its id. */
static rmr_err message_end(rmr_nm *nm)
{
    nm_message *m = find_message(nm, nm->read->msg.id);
    if (nm->read->msg.id[0] == '\0' || rmri_ctl_same(nm->read->msg.id, "*"))
        return RMR_OK;
    if (!m) {
        rmr_err e = new_health(nm, &m);
        if (!m)
            return e;
    } else if (!same_message(m, &nm->read->msg)) {
        nm->changed |= RMR_NM_HEALTH;
    }
    join_line(&nm->read->msg);
    *m = nm->read->msg;
    m->frame = nm->message_frame;
    return RMR_OK;
}

static void message_begin(rmr_nm *nm, rmr_bytes id)
{
    memset(&nm->read->msg, 0, sizeof nm->read->msg);
    nm->read->msg.severity = RMR_NM_SEVERITY_MEDIUM;
    rmri_nm_text(nm, nm->read->msg.id, sizeof nm->read->msg.id, id);
}

static void message_text(rmr_nm *nm, uint32_t id, rmr_bytes text)
{
    nm_message *m = &nm->read->msg;
    if (id == F_MESSAGE_TITLE)
        rmri_nm_text(nm, m->title, sizeof m->title, text);
    else if (id == F_MESSAGE_TEXT)
        rmri_nm_text(nm, m->body, sizeof m->body, text);
    else if (id == F_MESSAGE_URL)
        rmri_nm_text(nm, m->url, sizeof m->url, text);
    else if (id == F_MESSAGE_LABEL)
        rmri_nm_text(nm, m->label, sizeof m->label, text);
    else if (rmr_bytes_eq_str(text, "high"))
        m->severity = RMR_NM_SEVERITY_HIGH;
    else if (rmr_bytes_eq_str(text, "low"))
        m->severity = RMR_NM_SEVERITY_LOW;
}

static rmr_err message_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                             rmr_bytes text)
{
    nm_message *m;
    if (id == F_MESSAGE_IMPACTS)
        nm->read->msg.impacts = kind == RMR_JSON_TRUE;
    else if (id != F_MESSAGE && kind == RMR_JSON_STRING)
        message_text(nm, id, text);
    if (id != F_MESSAGE)
        return RMR_OK;
    if (kind == RMR_JSON_KEY) {
        message_begin(nm, text);
    } else if (kind == RMR_JSON_NULL && rmri_ctl_same(nm->read->msg.id, "*")) {
        clear_health(nm, true);
    } else if (kind == RMR_JSON_NULL && nm->read->msg.id[0]) {
        m = find_message(nm, nm->read->msg.id);
        if (m)
            drop_health(nm, (size_t)(m - nm->health));
    }
    return RMR_OK;
}

bool rmr_nm_message_at(const rmr_nm *nm, size_t i, rmr_nm_message *out)
{
    if (i >= nm->n_health)
        return false;
    const nm_message *m = &nm->health[i];
    out->id = m->id;
    out->title = m->title;
    out->text = m->id[0] ? m->body : m->text;
    out->action_url = m->url;
    out->action_label = m->label;
    out->severity = (rmr_nm_severity)m->severity;
    out->impacts_connectivity = m->impacts;
    return true;
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
    const nm_ping *p = &nm->read->ping;
    if (p->url[0] == '\0' ||
        (nm->on_ping && nm->on_ping(nm->on_ping_user, p)) ||
        !nm->cb.on_ping_request)
        return;
    const rmr_nm_ping view = {p->url, p->types, p->ip, p->noise};
    nm->busy = true;
    nm->cb.on_ping_request(nm->cb.user, &view);
    nm->busy = false;
}

static void ping_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                       rmr_bytes text)
{
    if (id == F_PING_URL && kind == RMR_JSON_STRING)
        rmri_nm_text(nm, nm->read->ping.url, sizeof nm->read->ping.url, text);
    else if (id == F_PING_TYPES && kind == RMR_JSON_STRING)
        rmri_nm_text(nm, nm->read->ping.types, sizeof nm->read->ping.types,
                     text);
    else if (id == F_PING_IP && kind == RMR_JSON_STRING)
        (void)rmr_addr_parse_ip(text, &nm->read->ping.ip);
    else if (id == F_PING_NOISE)
        nm->read->ping.noise = kind == RMR_JSON_TRUE;
    else if (id == F_PING_PAYLOAD && kind == RMR_JSON_STRING &&
             text.len <= sizeof nm->read->ping.payload) {
        if (text.len)
            memcpy(nm->read->ping.payload, text.ptr, text.len);
        nm->read->ping.payload_len = text.len;
    }
}

static void pop_browser(rmr_nm *nm, rmr_json_kind kind, rmr_bytes text)
{
    char url[1024];
    uint8_t hash[RMR_HASH_LEN];
    if (kind != RMR_JSON_STRING || text.len == 0)
        return;
    rmri_nm_text(nm, url, sizeof url, text);
    rmr_blake2s_256(hash, rmr_bytes_str(url), rmr_bytes_of(NULL, 0));
    if (url[0] == '\0' || memcmp(hash, nm->popped, sizeof hash) == 0 ||
        !nm->cb.on_pop_browser)
        return; /* each is shown once */
    memcpy(nm->popped, hash, sizeof hash);
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
            memset(&nm->read->ping, 0, sizeof nm->read->ping);
            nm->read->pinged = true;
        } else if (end) {
            ping_end(nm);
        }
        return RMR_OK;
    case F_PLAN:
    case F_PLAN_TRY:
        rmri_nm_plan_nest(nm, id, kind);
        return RMR_OK;
    case F_LOCK:
        if (object)
            nm->lock_disabled = false;
        else if (end)
            lock_end(nm);
        return RMR_OK;
    case F_USERS:
        if (object) {
            nm->user_id = 0;
            nm->read->user_login[0] = nm->read->user_display[0] = '\0';
            nm->read->user_picture[0] = '\0';
            nm->user_groups.len = 0;
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
        rmri_nm_text(nm, nm->read->user_login, sizeof nm->read->user_login,
                     text);
    } else if (id == F_USER_DISPLAY && kind == RMR_JSON_STRING) {
        rmri_nm_text(nm, nm->read->user_display, sizeof nm->read->user_display,
                     text);
    } else if (id == F_USER_PICTURE && kind == RMR_JSON_STRING) {
        rmri_nm_text(nm, nm->read->user_picture, sizeof nm->read->user_picture,
                     text);
    } else if (id == F_USER_GROUPS && kind == RMR_JSON_STRING) {
        return user_group(nm, text);
    }
    return RMR_OK;
}

static rmr_err domain_value(rmr_nm *nm, rmr_json_kind kind, rmr_bytes text)
{
    char now[NM_TEXT_MAX] = "";
    if (kind != RMR_JSON_STRING || text.len == 0) /* "": unchanged */
        return RMR_OK;
    rmri_nm_text(nm, now, sizeof now, text);
    if (rmri_ctl_same(now, rmr_nm_domain(nm)))
        return RMR_OK;
    nm->changed |= RMR_NM_DNS;
    return rmr_text_keep(&nm->domain, &nm->alloc, rmr_bytes_str(now));
}

/* Go has a float there. */
static void sleep_value(rmr_nm *nm, rmr_json_kind kind, rmr_bytes text)
{
    const double max = 300;
    double v;
    if (rmr_json_double(kind, text, &v) || !(v > 0))
        return;
    nm->sleep_seconds = (uint32_t)(v > max ? max : v);
}

uint32_t rmr_nm_sleep_seconds(const rmr_nm *nm)
{
    return nm->sleep_seconds;
}

rmr_err rmri_nm_misc_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                           rmr_bytes text)
{
    if (id >= F_MESSAGE && id <= F_MESSAGE_LABEL)
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
    case F_PING_IP:
        ping_value(nm, id, kind, text);
        return RMR_OK;
    case F_PLAN_IP:
    case F_PLAN_ACE:
    case F_PLAN_DELAY:
    case F_PLAN_TIMEOUT:
    case F_PLAN_PRIORITY:
        rmri_nm_plan_value(nm, id, kind, text);
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
        return domain_value(nm, kind, text);
    case F_DEBUG_SLEEP:
        sleep_value(nm, kind, text);
        return RMR_OK;
    case F_USER_ID:
    case F_USER_LOGIN:
    case F_USER_DISPLAY:
    case F_USER_PICTURE:
    case F_USER_GROUPS:
        return user_value(nm, id, kind, text);
    case F_HEALTH:
        return health_line(nm, kind, text);
    default:
        return RMR_OK;
    }
}

void rmri_nm_misc_first_frame(rmr_nm *nm)
{
    rmri_nm_dns_first_frame(nm);
    sweep_users(nm);
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
    rmri_ctl_vec_free(&nm->user_groups, &nm->alloc);
}
