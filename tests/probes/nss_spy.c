/* Built as libnss_spy.so.2: a module of nsswitch.conf(5) for hosts. It finds nothing, and writes each name that libc asks it
 * about to the file NSS_SPY, a line each. */
#include "probe.h"

#include <netdb.h>
#include <nss.h>

enum nss_status _nss_spy_gethostbyname2_r(const char *name, int family, struct hostent *result, char *buffer, size_t size,
                                          int *error, int *h_error)
{
    (void)family, (void)result, (void)buffer, (void)size;
    FILE *file = fopen(getenv("NSS_SPY"), "a");
    if (!file)
        give_up("NSS_SPY");
    fprintf(file, "%s\n", name);
    fclose(file);
    *error = ENOENT;
    *h_error = HOST_NOT_FOUND;
    return NSS_STATUS_NOTFOUND;
}
