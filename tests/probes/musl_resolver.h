/* The resolver functions that musl does not have: the probe says so, should a test call one. */
#ifndef MUSL_RESOLVER_H
#define MUSL_RESOLVER_H

#ifndef __GLIBC__
#define AI_IDN 0x40
#define AI_CANONIDN 0x80
#define EAI_IDN_ENCODE -105
#define NETDB_INTERNAL -1
#define GAI_WAIT 0
struct gaicb {
    const char *ar_name;
    const struct addrinfo *ar_request;
    struct addrinfo *ar_result;
};

#define MISSING(...) (give_up("musl has no such function"), -1)
#define getaddrinfo_a(mode, list, count, event) ((void)(list), MISSING())
#define gai_error(...) MISSING()
#define res_ninit(state) ((void)(state), 0)
#define res_nclose(state) (void)(state)
#define res_nsend(...) MISSING()
#define res_nquery(...) MISSING()
#define res_nsearch(...) MISSING()
#define res_nquerydomain(...) MISSING()
#endif

#endif
