/* The library's C API, found with dlsym: api HOST PORT CONNECT-HOST CONNECT-PORT [NAME]
 * NAME is resolved first. */
#include "probe.h"

#include "../../include/tailchain.h"
#include <dlfcn.h>
#include <netdb.h>

#define FIND(name) __typeof__(&name) name##_ = (__typeof__(&name))dlsym(RTLD_DEFAULT, #name)

int main(int count, char **words)
{
    struct addrinfo *list;
    if (count != 5 && count != 6)
        give_up("usage: api HOST PORT CONNECT-HOST CONNECT-PORT [NAME]");
    if (words[5] && getaddrinfo(words[5], NULL, NULL, &list) == 0)
        freeaddrinfo(list);
    FIND(tailchain_version);
    FIND(tailchain_config);
    FIND(tailchain_explain);
    FIND(tailchain_count);
    FIND(tailchain_hooks);
    if (!tailchain_version_) {
        puts("not preloaded");
        return 0;
    }
    printf("version %s\nconfig %s\n", tailchain_version_(), tailchain_config_());
    printf("hooks connect: %s\n", strstr(tailchain_hooks_(), "connect ") ? "yes" : "no");
    char reason[128], tight[8];
    int route = tailchain_explain_(words[1], (uint16_t)atoi(words[2]), reason, sizeof reason);
    printf("route %d %s\n", route, reason);
    printf("tight %d %s\n", tailchain_explain_(words[1], (uint16_t)atoi(words[2]), tight, sizeof tight), tight);
    printf("no room %d\n", tailchain_explain_(words[1], (uint16_t)atoi(words[2]), NULL, 0));
    errno = 0;
    int bad = tailchain_explain_("", 1, reason, sizeof reason);
    printf("bad %d %s\n", bad, errno_name(errno));
    printf("null %d\n", tailchain_explain_(NULL, 1, reason, sizeof reason));
    struct address to = address_of(words[3], words[4]);
    int fd = dial(&to);
    struct tailchain_counters counters;
    size_t size = tailchain_count_(&counters, sizeof counters);
    printf("size %d NULL %d\n", size == sizeof counters, tailchain_count_(NULL, sizeof counters) == size);
    /* Callers compiled against an older and a newer version of the struct: it has fewer or more counters. */
    struct {
        struct tailchain_counters known;
        uint64_t later, not_mine;
    } other;
    memset(&other, 0x55, sizeof other);
    tailchain_count_(&other.known, sizeof(uint64_t));
    printf("older proxied %d direct %#llx\n", other.known.proxied == counters.proxied,
           (unsigned long long)other.known.direct);
    tailchain_count_(&other.known, sizeof other - sizeof other.not_mine);
    printf("newer pending %d later %#llx beyond %#llx\n", other.known.pending == counters.pending,
           (unsigned long long)other.later, (unsigned long long)other.not_mine);
    printf("connect %d proxied %d direct %d refused %d failed %d pending %d\n", fd >= 0, (int)counters.proxied,
           (int)counters.direct, (int)counters.refused, (int)counters.failed, (int)counters.pending);
    return 0;
}
