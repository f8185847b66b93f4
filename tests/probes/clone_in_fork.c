/* clone_in_fork HOST PORT: a connect to HOST PORT fails, and its error is not fetched. While one thread forks and is in its
 * fork handler, another makes a child by clone(2) without CLONE_VM, for which no handlers run. It closes the socket.
 * Prints how that child ended. */
#include "probe.h"
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int fd = -1;
static atomic_int in_handler, cloned;

static void before(void)
{
    in_handler = 1;
    while (!cloned)
        usleep(1000);
}

static void install(void) { pthread_atfork(before, NULL, NULL); }

__attribute__((section(".preinit_array"), used)) static void (*const first_of_all)(void) = install;

static void *make_child(void *unused)
{
    (void)unused;
    while (!in_handler)
        usleep(1000);
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        close(fd);
        _exit(0);
    }
    int status = -1;
    for (int i = 0; i < 2000 && waitpid(child, &status, WNOHANG) == 0; i++)
        usleep(1000);
    printf("child %d\n", status);
    if (status == -1)
        kill(child, SIGKILL);
    cloned = 1;
    return NULL;
}

int main(int count, char **words)
{
    if (count != 3)
        give_up("usage: clone_in_fork HOST PORT");
    struct address to = address_of(words[1], words[2]);
    fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect(fd, &to.any, to.length);
    struct pollfd one = {.fd = fd, .events = POLLOUT};
    if (poll(&one, 1, 10000) != 1)
        give_up("poll");
    pthread_t thread;
    pthread_create(&thread, NULL, make_child, NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    pthread_join(thread, NULL);
    int error = -1;
    socklen_t length = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    printf("error %s\n", errno_name(error));
    return 0;
}
