/* Built as a library and preloaded into the launcher: slow.example is at 127.0.0.1, but it is not found before the file
 * FOUND exists. */
#include "probe.h"

#include <dlfcn.h>
#include <netdb.h>

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
    if (name && strcmp(name, "slow.example") == 0) {
        for (int i = 0; i < 1500 && access(getenv("FOUND"), F_OK) != 0; i++)
            usleep(10000);
        if (access(getenv("FOUND"), F_OK) != 0)
            return EAI_FAIL;
        name = "127.0.0.1";
    }
    return next(name, service, hints, found);
}
