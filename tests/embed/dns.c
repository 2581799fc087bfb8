#include <remora/dns.h>
int main(void)
{
    rmr_dns_free(0);
    return 0;
}
