/* footprint [NAMES]: looks up this many names and connects to each, then prints this process's private dirty memory and its
   private clean memory (which is shared once a second process has the same library), both in KiB; then how many files are
   mapped as code: the program, libc and the loader are three of them. */
#include "bench.h"
#include <netdb.h>

static void connect_to_name(int number)
{
    char name[64];
    snprintf(name, sizeof name, "host-%d.tail1234.ts.net", number);
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list;
    if (getaddrinfo(name, "5432", &hints, &list) != 0)
        give_up(name);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, list->ai_addr, list->ai_addrlen) != 0)
        give_up("connect");
    close(fd);
    freeaddrinfo(list);
}

int main(int count, char **words)
{
    for (int i = 0; count > 1 && i < atoi(words[1]); i++)
        connect_to_name(i);
    char line[4096], last[4096] = "";
    long dirty = 0, clean = 0;
    int files = 0;
    FILE *rollup = fopen("/proc/self/smaps_rollup", "re");
    if (!rollup)
        give_up("/proc/self/smaps_rollup");
    while (fgets(line, sizeof line, rollup)) {
        sscanf(line, "Private_Dirty: %ld", &dirty);
        sscanf(line, "Private_Clean: %ld", &clean);
    }
    fclose(rollup);
    FILE *maps = fopen("/proc/self/maps", "re");
    if (!maps)
        give_up("/proc/self/maps");
    while (fgets(line, sizeof line, maps)) {
        char rights[8], path[2048];
        if (sscanf(line, "%*s %7s %*s %*s %*s %2047s", rights, path) == 2 && path[0] == '/' && rights[2] == 'x'
            && strcmp(path, last) != 0) {
            files++;
            strcpy(last, path);
        }
    }
    fclose(maps);
    printf("%ld %ld %d\n", dirty, clean, files);
    return 0;
}
