/* fork_interrupts HOST PORT COUNT: one thread forks COUNT children, which end at once, while another sleeps in epoll_wait.
 * Prints how often epoll_wait is interrupted: never without the library, since SIGCHLD has no handler. */
#include "probe.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/wait.h>

static atomic_int over;

static void *sleeper(void *argument)
{
    long interrupted = 0;
    int instance = *(int *)argument;
    struct epoll_event event;
    while (!over)
        if (epoll_wait(instance, &event, 1, 50) < 0 && errno == EINTR)
            interrupted++;
    return (void *)interrupted;
}

int main(int count, char **arguments)
{
    if (count != 4)
        give_up("HOST PORT COUNT");
    struct address to = address_of(arguments[1], arguments[2]);
    int instance = epoll_create1(EPOLL_CLOEXEC), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect(fd, &to.any, to.length);
    pthread_t thread;
    pthread_create(&thread, NULL, sleeper, &instance);
    for (int i = 0; i < atoi(arguments[3]); i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        waitpid(pid, NULL, 0);
    }
    over = 1;
    void *interrupted;
    pthread_join(thread, &interrupted);
    printf("interrupted %ld\n", (long)interrupted);
    return 0;
}
