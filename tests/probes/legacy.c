/* legacy HOST PORT CALL…: old functions of libc that connect by themselves; one line, `CALL -> RESULT`, for each.
 * __connect rcmd rcmd_af rexec rexec_af ruserok iruserok clnt_create clnt_create_udp clnt_create_unix clnttcp_create
 * clnttcp_connected clntudp_create callrpc getrpcport pmap_getmaps pmap_getport rtime */
#include "probe.h"

#include <netdb.h>
#include <sys/time.h>

/* A program that was linked when Sun RPC was part of libc imports these; its headers are gone. */
#ifdef __aarch64__
#define OLD(name) __asm__(".symver old_" #name ", " #name "@GLIBC_2.17")
#else
#define OLD(name) __asm__(".symver old_" #name ", " #name "@GLIBC_2.2.5")
#endif
extern int __connect(int, const struct sockaddr *, socklen_t);
extern void *old_clnt_create(const char *, unsigned long, unsigned long, const char *);
extern void *old_clnttcp_create(struct sockaddr_in *, unsigned long, unsigned long, int *, unsigned, unsigned);
extern void *old_clntudp_create(struct sockaddr_in *, unsigned long, unsigned long, struct timeval, int *);
extern char *old_clnt_spcreateerror(const char *);
extern int old_callrpc(const char *, unsigned long, unsigned long, unsigned long, void *, char *, void *, char *);
extern int old_getrpcport(const char *, unsigned long, unsigned long, unsigned);
extern void *old_pmap_getmaps(struct sockaddr_in *);
extern unsigned short old_pmap_getport(struct sockaddr_in *, unsigned long, unsigned long, unsigned);
extern int old_rtime(struct sockaddr_in *, void *, struct timeval *);
OLD(clnt_create);
OLD(clnttcp_create);
OLD(clntudp_create);
OLD(clnt_spcreateerror);
OLD(callrpc);
OLD(getrpcport);
OLD(pmap_getmaps);
OLD(pmap_getport);
OLD(rtime);

static void say(long result)
{
    printf("%ld%s%s\n", result, result < 0 ? " " : "", result < 0 ? errno_name(errno) : "");
}

static void say_client(void *client)
{
    char *text = client ? "client" : old_clnt_spcreateerror("none");
    printf("%.*s\n", (int)strcspn(text, "\n"), text);
}

static int encode_nothing(void) { return 1; }

int main(int count, char **words)
{
    if (count < 4)
        give_up("usage: legacy HOST PORT CALL…");
    char *host = words[1], byte;
    uint16_t port = htons((uint16_t)atoi(words[2]));
    struct address to = address_of(strchr("0123456789", host[0]) ? host : "127.0.0.1", words[2]);
    const struct timeval second = {.tv_sec = 1};
    alarm(60);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 3; i < count; i++) {
        const char *call = words[i];
        char *name = host;
        int none = -1, given = socket(AF_INET, SOCK_STREAM, 0);
        printf("%s -> ", call);
        errno = 0;
        if (strcmp(call, "__connect") == 0)
            say(__connect(given, &to.any, to.length));
        else if (strcmp(call, "rcmd") == 0)
            say(rcmd(&name, port, "me", "you", "true", NULL));
        else if (strcmp(call, "rcmd_af") == 0)
            say(rcmd_af(&name, port, "me", "you", "true", NULL, AF_INET));
        else if (strcmp(call, "rexec") == 0)
            say(rexec(&name, port, "me", "you", "true", NULL));
        else if (strcmp(call, "rexec_af") == 0)
            say(rexec_af(&name, port, "me", "you", "true", NULL, AF_INET));
        else if (strcmp(call, "ruserok") == 0)
            say(ruserok(host, 0, "me", "you"));
        else if (strcmp(call, "iruserok") == 0)
            say(iruserok(to.v4.sin_addr.s_addr, 0, "me", "you"));
        else if (strcmp(call, "clnt_create") == 0)
            say_client(old_clnt_create(host, 100000, 2, "tcp"));
        else if (strcmp(call, "clnt_create_udp") == 0)
            say_client(old_clnt_create(host, 100000, 2, "udp"));
        else if (strcmp(call, "clnt_create_unix") == 0)
            say_client(old_clnt_create("/nonexistent/socket", 100000, 2, "unix"));
        else if (strcmp(call, "clnttcp_create") == 0)
            say_client(old_clnttcp_create(&to.v4, 100000, 2, &none, 0, 0));
        else if (strcmp(call, "clnttcp_connected") == 0)
            say_client(connect(given, &to.any, to.length) == 0 ? old_clnttcp_create(&to.v4, 100000, 2, &given, 0, 0) : NULL);
        else if (strcmp(call, "clntudp_create") == 0)
            say_client(old_clntudp_create(&to.v4, 100000, 2, second, &none));
        else if (strcmp(call, "callrpc") == 0)
            say(old_callrpc(host, 100000, 2, 0, encode_nothing, &byte, encode_nothing, &byte));
        else if (strcmp(call, "getrpcport") == 0)
            say(old_getrpcport(host, 100000, 2, IPPROTO_TCP));
        else if (strcmp(call, "pmap_getmaps") == 0)
            say(old_pmap_getmaps(&to.v4) ? 1 : -1);
        else if (strcmp(call, "pmap_getport") == 0)
            say(old_pmap_getport(&to.v4, 100000, 2, IPPROTO_TCP));
        else if (strcmp(call, "rtime") == 0)
            say(old_rtime(&to.v4, (uint32_t[2]){0}, NULL));
        else
            give_up(call);
    }
    return 0;
}
