#include <remora/tls.h>
int main(void)
{
    rmr_tls_free(0);
    return 0;
}
