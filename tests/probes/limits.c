/* limits HOST PORT: a thread makes non-blocking connects while another sets the soft limit of open files to changing
 * values. Prints how often the limit differed from the value just set, and did not return to it. */
#include "probe.h"
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

enum { TIMES = 4000, LOWEST = 600, LOOKS = 1000 };

static struct address to;
static atomic_int stop, failed;

static void *connect_all_the_time(void *none)
{
    while (!stop) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        struct pollfd one = {.fd = fd, .events = POLLOUT};
        if (connect(fd, &to.any, to.length) != 0 && errno != EINPROGRESS)
            failed++;
        poll(&one, 1, 20000);
        close(fd);
    }
    return none;
}

int main(int count, char **words)
{
    if (count != 3)
        give_up("usage: limits HOST PORT");
    alarm(100);
    to = address_of(words[1], words[2]);
    struct rlimit limit, found;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < 2 * LOWEST)
        give_up("the hard limit is too low");
    pthread_t thread;
    if (pthread_create(&thread, NULL, connect_all_the_time, NULL) != 0)
        give_up("pthread_create");
    int undone = 0;
    for (int i = 0; i < TIMES; i++) {
        limit.rlim_cur = (rlim_t)(LOWEST + i % 500);
        setrlimit(RLIMIT_NOFILE, &limit);
        /* It is a raised one for an instant, or for as long as the other thread is not scheduled. */
        int looks = 0;
        do {
            usleep(200);
            getrlimit(RLIMIT_NOFILE, &found);
        } while (found.rlim_cur != limit.rlim_cur && ++looks < LOOKS);
        undone += looks == LOOKS;
    }
    stop = 1;
    pthread_join(thread, NULL);
    printf("undone %d failed %d\n", undone, failed);
    return 0;
}
