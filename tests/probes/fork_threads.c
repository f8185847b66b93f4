/* fork_threads HOST PORT FORKS: forks while other threads connect all the time; each tenth child connects too.
 * A lock or a helper of the library that a child finds held would hang it: a child has 30 seconds, then SIGALRM. */
#include "probe.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

static struct address to;
static atomic_int stop, good, bad;

static void *work(void *nothing)
{
    (void)nothing;
    while (!stop) {
        int fd = dial(&to);
        if (fd >= 0 && echoes(fd, "beside fork"))
            good++;
        else
            bad++;
        if (fd >= 0)
            close(fd);
    }
    return NULL;
}

int main(int count, char **words)
{
    if (count != 4)
        give_up("usage: fork_threads HOST PORT FORKS");
    to = address_of(words[1], words[2]);
    int forks = atoi(words[3]);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, work, NULL) != 0)
            give_up("pthread_create");
    int children_good = 0;
    for (int i = 0; i < forks; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(30);
            if (i % 10)
                _exit(0);
            int fd = dial(&to);
            _exit(fd >= 0 && echoes(fd, "child") ? 0 : 1);
        }
        int status = -1;
        if (child > 0 && waitpid(child, &status, 0) == child && status == 0)
            children_good++;
    }
    stop = 1;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    printf("children %d of %d, threads connected %s, failed %d\n", children_good, forks, good > 0 ? "yes" : "no", bad);
    return 0;
}
