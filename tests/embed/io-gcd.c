#include <remora/gcd.h>

int main(void)
{
    rmr_gcd_config cfg;
    rmr_gcd_config_init(&cfg, sizeof cfg);
    return cfg.queue != NULL;
}
