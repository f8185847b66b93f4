/* spawn posix_spawn|vfork HOST PORT TIMES: starts itself as a child that connects, one child after the other,
 * and connects in between. `spawn child HOST PORT` is that child. It starts itself by its name: under valgrind
 * /proc/self/exe is valgrind. */
#include "probe.h"
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static int connects(const struct address *to)
{
    int fd = dial(to);
    int good = fd >= 0 && echoes(fd, "spawned");
    if (fd >= 0)
        close(fd);
    return good;
}

static pid_t by_vfork(char **child)
{
    pid_t pid = vfork();
    if (pid == 0) {
        /* What a shell does between vfork and exec: none of it may change the parent's tables. */
        int fd = open("/dev/null", O_RDONLY);
        dup2(fd, 0);
        close(fd);
        execve(child[0], child, environ);
        _exit(127);
    }
    return pid;
}

int main(int count, char **words)
{
    alarm(120);
    if (count == 4 && strcmp(words[1], "child") == 0) {
        struct address to = address_of(words[2], words[3]);
        return connects(&to) ? 0 : 1;
    }
    if (count != 5)
        give_up("usage: spawn posix_spawn|vfork HOST PORT TIMES");
    struct address to = address_of(words[2], words[3]);
    char *child[] = {words[0], "child", words[2], words[3], NULL};
    int times = atoi(words[4]), good = 0, own = 0;
    for (int i = 0; i < times; i++) {
        pid_t pid = -1;
        if (strcmp(words[1], "vfork") == 0)
            pid = by_vfork(child);
        else if (posix_spawn(&pid, words[0], NULL, NULL, child, environ) != 0)
            give_up("posix_spawn");
        int status = -1;
        if (pid > 0 && waitpid(pid, &status, 0) == pid && status == 0)
            good++;
        own += connects(&to);
    }
    printf("children %d own %d of %d\n", good, own, times);
    return 0;
}
