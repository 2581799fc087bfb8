#include <remora/relay.h>
int main(void)
{
    rmr_relay_config cfg;
    rmr_relay_config_init(&cfg, sizeof cfg);
    return cfg.max_clients == 0;
}
