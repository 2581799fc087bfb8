/* How a link's TLS checks a host, as its dial says: against a real server. */
#include "support.h"
#include "tls_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <remora/machine.h>
#include <stdio.h>
#include <string.h>

typedef struct rig {
    test_alloc alloc;
    test_rng rng;
    rmr_env env;
    rmr_mc *mc;
    rmr_mc_link *link;
    rmr_tls_anchors *anchors;
    tls_peer peer;
    rmr_time now;
    uint8_t scratch[RMR_IO_SCRATCH_MIN];
    uint64_t id; /* of the stream */
    int opened, closed;
    size_t got, to_say; /* bytes of the host; for it */
    rmr_err why;
    char text[128];
} rig;

static void l_opened(void *owner, rmr_time now)
{
    (void)now;
    ((rig *)owner)->opened++;
}

static void l_closed(void *owner, rmr_time now, rmr_err why, const char *text)
{
    rig *r = owner;
    (void)now;
    r->closed++;
    r->why = why;
    (void)snprintf(r->text, sizeof r->text, "%s", text);
}

static rmr_err l_read(void *owner, rmr_time now, rmr_buf data)
{
    (void)now;
    ((rig *)owner)->got += data.len;
    return RMR_OK;
}

static rmr_err l_write(void *owner, rmr_time now, rmr_buf dst, size_t *len)
{
    rig *r = owner;
    (void)now;
    *len = r->to_say < dst.len ? r->to_say : dst.len;
    memset(dst.ptr, 'x', *len);
    r->to_say -= *len;
    return RMR_OK;
}

static const rmr_mc_link_ops layer = {
    .opened = l_opened, .closed = l_closed, .read = l_read, .write = l_write};

static void give(rig *r, rmr_io_event_kind kind, rmr_buf data)
{
    rmr_io_event ev = {0};
    ev.kind = kind;
    ev.id = r->id;
    ev.data = data;
    (void)rmr_mc_event(r->mc, r->now, &ev);
}

/* BearSSL's engine, both ways, until it stands still. */
static bool move(rig *r)
{
    br_ssl_engine_context *e = &r->peer.sc.eng;
    rmr_io_op op = {0};
    bool moved = false;
    if (rmr_mc_next_op(r->mc, r->now, rmr_buf_of(r->scratch, sizeof r->scratch),
                       &op)) {
        moved = true;
        if (op.kind == RMR_IO_CONNECT) {
            r->id = op.id;
            give(r, RMR_IO_OPENED, rmr_buf_of(NULL, 0));
        }
        for (size_t at = 0;
             op.kind == RMR_IO_STREAM_SEND && at < op.data.len;) {
            size_t room;
            unsigned char *p = br_ssl_engine_recvrec_buf(e, &room);
            if (!p)
                break;
            size_t n = op.data.len - at < room ? op.data.len - at : room;
            memcpy(p, op.data.ptr + at, n);
            br_ssl_engine_recvrec_ack(e, n);
            at += n;
        }
        if (op.kind == RMR_IO_STREAM_SEND)
            give(r, RMR_IO_SENT, rmr_buf_of(NULL, 0));
    }
    size_t len;
    unsigned char *p = br_ssl_engine_sendrec_buf(e, &len);
    if (p && !r->closed) {
        uint8_t copy[4096];
        len = len < sizeof copy ? len : sizeof copy;
        memcpy(copy, p, len);
        br_ssl_engine_sendrec_ack(e, len);
        give(r, RMR_IO_BYTES, rmr_buf_of(copy, len));
        moved = true;
    }
    return moved;
}

typedef struct tls_case {
    const char *certs, *anchors, *host, *cert_name;
    uint8_t a, b; /* the first numbers of the address it is at */
    bool insecure;
    rmr_err e;
} tls_case;

static void rig_prepare(rig *r, const tls_case *c)
{
    static char pem[8192];
    rmr_mc_config cfg;
    rmr_io_event wall = {0};
    memset(r, 0, sizeof *r);
    test_rng_seed(&r->rng, 7);
    r->env = test_env(&r->alloc, &r->rng, NULL);
    r->now = RMR_SEC;
    if (c->anchors) {
        size_t len = peer_load_text(c->anchors, pem, sizeof pem);
        assert_int_equal(rmr_tls_anchors_new(&r->anchors, &r->env), RMR_OK);
        assert_int_equal(
            rmr_tls_anchors_add_pem(r->anchors,
                                    rmr_bytes_of((const uint8_t *)pem, len),
                                    NULL, NULL),
            RMR_OK);
    }
    rmr_mc_config_init(&cfg, sizeof cfg);
    cfg.anchors = r->anchors;
    assert_int_equal(rmr_mc_new(&r->mc, &r->env, &cfg), RMR_OK);
    wall.kind = RMR_IO_WALL;
    wall.wall_unix_ns = TEST_WALL_NS;
    (void)rmr_mc_event(r->mc, r->now, &wall);
    r->link = rmr_mc_link_new(r->mc, &layer, r);
    assert_non_null(r->link);
    peer_init(&r->peer, c->certs,
              strstr(c->certs, "rsa") ? "rsa.key" : "ec.key");
    peer_start(&r->peer);
}

static void rig_dial(rig *r, const tls_case *c)
{
    rmr_dial d = {0};
    (void)snprintf(d.host, sizeof d.host, "%s", c->host);
    (void)snprintf(d.cert_name, sizeof d.cert_name, "%s", c->cert_name);
    d.port = 443;
    d.tls = true;
    d.insecure = c->insecure;
    d.addrs[0] = rmr_addr_v4(c->a, c->b, 2, 9, 0);
    d.n_addrs = 1;
    rmr_mc_link_dial(r->link, r->now, &d);
    while (move(r))
        ;
}

static void rig_open(rig *r, const tls_case *c)
{
    rig_prepare(r, c);
    rig_dial(r, c);
}

static void rig_end(rig *r)
{
    rmr_mc_link_free(r->link);
    rmr_mc_free(r->mc);
    rmr_tls_anchors_free(r->anchors);
    assert_int_equal(r->alloc.live_blocks, 0);
}

#define CA "ca-ec.pem"
#define SELF_META "self.pem+meta.pem"

static void hosts_are_checked_as_their_dials_say(void **st)
{
    static const tls_case cases[] = {
        /* by chain and name */
        {"leaf-ec.pem", CA, "host.test", "", 192, 0, false, RMR_OK},
        {"leaf-ec.pem", CA, "other.test", "", 192, 0, false, RMR_E_TLS_NAME},
        {"leaf-ec.pem", CA, "other.test", "host.test", 192, 0, false, RMR_OK},
        {"leaf-ec.pem", CA, "host.test", "x.test", 192, 0, false,
         RMR_E_TLS_NAME},
        {"self.pem", CA, "derp.test", "", 192, 0, false, RMR_E_TLS_UNKNOWN_CA},
        {"self.pem", NULL, "derp.test", "", 192, 0, false, RMR_E_INVAL},
        /* an unchecked one from hosts nearby alone, whatever its name says */
        {"self.pem", NULL, "derp.test", "", 10, 1, true, RMR_OK},
        {"self.pem", NULL, "derp.test", "", 127, 0, true, RMR_OK},
        {"self.pem", CA, "derp.test", "", 192, 0, true, RMR_E_TLS_UNKNOWN_CA},
        {"self.pem", NULL, "10.1.2.9", "", 192, 0, true, RMR_E_INVAL},
    };
    (void)st;
    static rig r;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig_open(&r, &cases[i]);
        if (r.why != cases[i].e || r.opened != (cases[i].e == RMR_OK))
            fail_msg("case %zu: %d (%s)", i, (int)r.why, r.text);
        rig_end(&r);
    }
}

/* The pin of self.pem's certificate, as a CertName. */
static void pin_name(char name[80])
{
    static der_file f;
    br_sha256_context sha;
    uint8_t sum[32];
    assert_int_equal(peer_load_pem("self.pem", &f, 1), 1);
    br_sha256_init(&sha);
    br_sha256_update(&sha, f.bytes, f.len);
    br_sha256_out(&sha, sum);
    size_t at = (size_t)snprintf(name, 80, "sha256-raw:");
    for (size_t i = 0; i < sizeof sum; i++)
        at += (size_t)snprintf(name + at, 80 - at, "%02x", sum[i]);
}

static void pins_are_taken_from_the_dial_in_their_one_form(void **st)
{
    char good[80], name[80];
    static rig r;
    (void)st;
    pin_name(good);
    for (int how = 0; how < 7; how++) {
        tls_case c = {SELF_META, NULL, "derp.test", name,
                      192,       0,    false,       RMR_OK};
        (void)snprintf(name, sizeof name, "%s", good);
        switch (how) {
        case 0: /* with derper's own certificate behind it */
            break;
        case 1:
            name[12] = name[12] == '0' ? '1' : '0';
            c.e = RMR_E_TLS_PIN;
            break;
        case 2: /* and insecure changes nothing */
            name[12] = name[12] == '0' ? '1' : '0';
            c.a = 10;
            c.insecure = true;
            c.e = RMR_E_TLS_PIN;
            break;
        case 3: /* too short, no hex, too long: not what a pin is */
            name[strlen(name) - 2] = '\0';
            c.e = RMR_E_INVAL;
            break;
        case 4:
            name[20] = 'x';
            c.e = RMR_E_INVAL;
            break;
        case 5:
            name[11] = '\0';
            c.e = RMR_E_INVAL;
            break;
        default:
            memcpy(name + 75, "00", 3);
            c.e = RMR_E_INVAL;
        }
        rig_open(&r, &c);
        if (r.why != c.e || r.opened != (c.e == RMR_OK))
            fail_msg("case %d: %d (%s)", how, (int)r.why, r.text);
        rig_end(&r);
    }
}

static const tls_case good_host = {"leaf-ec.pem", CA, "host.test", "",
                                   192,           0,  false,       RMR_OK};

/* The host says n bytes, and hears what the layer has for it. */
static void talk(rig *r, size_t n)
{
    br_ssl_engine_context *e = &r->peer.sc.eng;
    static uint8_t said[16384];
    size_t room;
    unsigned char *p;
    if (n > 0 && (p = br_ssl_engine_sendapp_buf(e, &room)) != NULL) {
        n = n < room ? n : room;
        memcpy(p, said, n);
        br_ssl_engine_sendapp_ack(e, n);
        br_ssl_engine_flush(e, 0);
    }
    rmr_mc_link_output(r->link);
    do {
        while ((p = br_ssl_engine_recvapp_buf(e, &room)) != NULL)
            br_ssl_engine_recvapp_ack(e, room);
    } while (move(r));
}

static void a_link_at_rest_has_no_record_buffers(void **st)
{
    static rig r;
    (void)st;
    rig_open(&r, &good_host);
    assert_int_equal(r.opened, 1);
    r.now += RMR_SEC;
    talk(&r, 10);
    size_t rests = r.alloc.live_bytes;
    r.to_say = 10;
    talk(&r, 10);
    assert_int_equal(r.got, 20);
    assert_int_equal(r.to_say, 0);
    assert_int_equal(r.alloc.live_bytes, rests);
    /* in use all the time: what it took stays, one for both ways */
    for (int i = 0; i < 40; i++) {
        r.now += RMR_MS;
        r.to_say = 10;
        talk(&r, 10);
    }
    assert_int_equal(r.alloc.live_bytes, rests + RMR_TLS_POOL_BUF);
    size_t calls = r.alloc.calls;
    r.now += RMR_MS;
    talk(&r, 10);
    assert_int_equal(r.alloc.calls, calls);
    /* until it was quiet */
    r.now += RMR_SEC;
    talk(&r, 10);
    assert_int_equal(r.alloc.live_bytes, rests);
    rig_end(&r);
}

/* Whatever cannot be had: the link opens, or says why not. */
static void without_memory_a_link_ends(void **st)
{
    static rig r;
    (void)st;
    for (size_t n = 2;; n++) { /* once, and from there on */
        rig_prepare(&r, &good_host);
        r.alloc.fail_at = r.alloc.calls + n / 2;
        r.alloc.fail_after = n % 2;
        rig_dial(&r, &good_host);
        bool was_open = r.opened && !r.closed;
        if (was_open) {
            r.now += RMR_SEC;
            r.to_say = 10;
            talk(&r, 10);
        }
        bool all = r.alloc.failed == 0;
        if (r.closed)
            assert_int_equal(r.why, RMR_E_NOMEM);
        else
            assert_true(r.opened && r.got == 10);
        rig_end(&r);
        if (all)
            return;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_are_checked_as_their_dials_say),
        cmocka_unit_test(pins_are_taken_from_the_dial_in_their_one_form),
        cmocka_unit_test(a_link_at_rest_has_no_record_buffers),
        cmocka_unit_test(without_memory_a_link_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
