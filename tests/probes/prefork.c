/* prefork HOST PORT WORKERS ROUNDS: as a prefork server does it, the parent connects once, forks its workers, and
 * each worker connects for itself, closing the parent's connection first. */
#include "probe.h"
#include <sys/wait.h>

int main(int count, char **words)
{
    if (count != 5)
        give_up("usage: prefork HOST PORT WORKERS ROUNDS");
    struct address to = address_of(words[1], words[2]);
    int workers = atoi(words[3]), rounds = atoi(words[4]);
    int parent = dial(&to);
    if (parent < 0)
        give_up("the parent's connect");
    for (int worker = 0; worker < workers; worker++) {
        if (fork() != 0)
            continue;
        alarm(120);
        close(parent);
        for (int i = 0; i < rounds; i++) {
            char text[64];
            snprintf(text, sizeof text, "worker %d round %d", worker, i);
            int fd = dial(&to);
            if (fd < 0 || !echoes(fd, text))
                _exit(1);
            close(fd);
        }
        _exit(0);
    }
    int good = 0, status;
    while (wait(&status) > 0)
        good += status == 0;
    printf("workers %d of %d, parent %s\n", good, workers, echoes(parent, "parent") ? "still connected" : "cut off");
    return 0;
}
