/* fork_handlers HOST PORT GATE: forks while a non-blocking connect to HOST PORT is pending, with handlers of pthread_atfork(3)
 * that were installed before any library's constructor ran, so that they run last before fork, and first after it.
 * Each handler makes calls that affect the pending connect. Prints their results, and how the connect ended in both
 * processes. */
#include "probe.h"
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/wait.h>

static int fd = -1, spare = -1, epolls[2];

static void look(const char *where)
{
    int error = -1;
    socklen_t length = sizeof error;
    struct sockaddr_storage name;
    struct epoll_event event = {.events = EPOLLIN};
    if (fd < 0)
        return;
    printf("%s:", where);
    int copy = dup(fd);
    printf(" dup %s", copy < 0 ? errno_name(errno) : "0");
    printf(" close %d", close(copy));
    int got = getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    printf(" error %d %d", got, error);
    length = sizeof name;
    printf(" name %d", getsockname(fd, (struct sockaddr *)&name, &length));
    printf(" flags %d", fcntl(fd, F_SETFL, fcntl(fd, F_GETFL)));
    for (int i = 0; i < 2; i++) {
        /* Parent and child have the same instances, and register the same file: EEXIST for the second. */
        int added = epoll_ctl(epolls[i], EPOLL_CTL_ADD, copy = dup(2), &event);
        printf(" epoll %d", added == 0 || errno == EEXIST || errno == EPERM ? close(copy) : -1);
    }
    /* The first handler closes one fd of the pending socket. */
    printf(" spare %d\n", spare < 0 ? 0 : close(spare));
    spare = -1;
    fflush(stdout);
}

static void before(void) { look("before"); }
static void in_parent(void) { look("parent"); }
static void in_child(void) { look("child"); }

static void install(void)
{
    pthread_atfork(before, in_parent, in_child);
}

__attribute__((section(".preinit_array"), used)) static void (*const first_of_all)(void) = install;

static void end(const char *who, struct address *to)
{
    struct pollfd one = {.fd = fd, .events = POLLOUT};
    int error = -1;
    socklen_t length = sizeof error;
    printf("%s: poll %d", who, poll(&one, 1, 20000));
    int got = getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    printf(" error %d %s", got, errno_name(error));
    printf(" again %s", connect(fd, &to->any, to->length) ? errno_name(errno) : "0");
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    printf(" echo %d\n", echoes(fd, who));
    fflush(stdout);
}

int main(int count, char **words)
{
    if (count != 4)
        give_up("usage: fork_handlers HOST PORT GATE");
    alarm(20);
    struct address to = address_of(words[1], words[2]), gate = address_of(words[3], "0");
    for (int i = 0; i < 2; i++)
        epolls[i] = epoll_create1(EPOLL_CLOEXEC);
    int number = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    spare = dup(number);
    printf("connect %s\n", connect(number, &to.any, to.length) ? errno_name(errno) : "0");
    fflush(stdout);
    fd = number;
    pid_t child = fork();
    if (child == 0) {
        end("the child", &to);
        _exit(0);
    }
    int open = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(open, &gate.any, gate.length) != 0)
        give_up("gate");
    int status = -1;
    waitpid(child, &status, 0);
    printf("status %d\n", status);
    end("the parent", &to);
    return 0;
}
