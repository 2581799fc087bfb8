/* The REST API: health; what is open to anybody. */
#include "crd_api.h"

#include <string.h>

static void send_flag(crd_conn *n, const char *key, bool value)
{
    rmr_jw w;
    rmri_crd_api_begin(n, &w);
    rmr_jw_object(&w);
    rmr_jw_kbool(&w, key, value);
    rmr_jw_object_end(&w);
    rmri_crd_api_send(n, &w, NULL);
}

void rmri_crd_do_health(crd_conn *n, crd_call *q)
{
    (void)q;
    send_flag(n, "databaseConnectivity", true);
}

/* ---- open to anybody ----------------------------------------------------- */

void rmri_crd_do_liveness(crd_conn *n, crd_call *q)
{
    rmr_jw w;
    (void)q;
    rmri_crd_api_begin(n, &w);
    rmr_jw_object(&w);
    rmr_jw_kstr(&w, "status", "pass");
    rmr_jw_object_end(&w);
    rmri_crd_api_send(n, &w, "application/health+json; charset=utf-8");
}

void rmri_crd_do_version(crd_conn *n, crd_call *q)
{
    rmr_jw w;
    (void)q;
    rmri_crd_api_begin(n, &w);
    rmr_jw_object(&w);
    rmr_jw_kstr(&w, "version", n->c->version);
    rmr_jw_kstr(&w, "commit", "unknown");
    rmr_jw_kstr(&w, "buildTime", "unknown");
    rmr_jw_key(&w, "go"); /* there is none, but clients expect the member */
    rmr_jw_object(&w);
    rmr_jw_kstr(&w, "version", "");
    rmr_jw_kstr(&w, "os", "");
    rmr_jw_kstr(&w, "arch", "");
    rmr_jw_object_end(&w);
    rmr_jw_kbool(&w, "dirty", false);
    rmr_jw_object_end(&w);
    rmri_crd_api_send(n, &w, NULL);
}

/* Relays that admit the tailnet's nodes alone ask here. */
void rmri_crd_do_verify(crd_conn *n, crd_call *q)
{
    static const char front[] = "nodekey:";
    const char *text = q->v[0].given ? q->v[0].text : "";
    uint8_t key[RMR_KEY_LEN];
    size_t len = sizeof front - 1;
    if (strlen(text) < len || memcmp(text, front, len) != 0 ||
        rmr_unhex(key, sizeof key, rmr_bytes_str(text + len)) != RMR_OK) {
        rmri_crd_api_problem(n, 400, "verifying client",
                             "NodePublic is no node key");
        return;
    }
    send_flag(n, "Allow", rmri_crd_node_by_key(n->c, key) != NULL);
}
