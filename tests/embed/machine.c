#include <remora/machine.h>
int main(void)
{
    rmr_mc_config cfg;
    rmr_mc_config_init(&cfg, sizeof cfg);
    return cfg.max_objects == 0;
}
