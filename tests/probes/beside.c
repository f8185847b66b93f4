/* beside HOST PORT WHAT ROUNDS: what other threads and children of a process see of a socket, and what becomes of its
 * fd, while one thread sleeps in a blocking connect to HOST PORT.
 *
 * shared: a child connects the socket of its parent and is killed; then the parent connects it.
 * observe: poll, getpeername, recv, send, TCP_INFO by another thread. fork: the same by a child. select: a thread that
 * waits for reading in select(2). reuse: in ROUNDS rounds another thread closes the fd and opens another socket there: prints
 * how often that was written to, or read from. */
#include "probe.h"
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/select.h>
#include <sys/wait.h>

static struct address to;
static int fd;
static atomic_int asleep;

static void *sleep_in_connect(void *unused)
{
    (void)unused;
    asleep = 1;
    return (void *)(long)(connect(fd, &to.any, to.length) == 0 ? 0 : errno);
}

static void observe(const char *who)
{
    struct pollfd one = {.fd = fd, .events = POLLIN | POLLOUT};
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    char byte;
    int ready = poll(&one, 1, 100);
    printf("%s: poll %d", who, ready);
    int named = getpeername(fd, (struct sockaddr *)&peer, &length);
    printf(", getpeername %s", named ? errno_name(errno) : "0");
    printf(", recv %s", recv(fd, &byte, 1, MSG_DONTWAIT) < 0 ? errno_name(errno) : "data");
    printf(", send %s\n", send(fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? errno_name(errno) : "sent");
    fflush(stdout);
}

static void open_gate(const char *path)
{
    struct address a = address_of(path, "0");
    int gate = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(gate, &a.any, a.length) != 0)
        give_up("gate");
}

static void check(const char *what, const char *path)
{
    pthread_t thread;
    void *result;
    fd = socket(to.any.sa_family, SOCK_STREAM, 0);
    pthread_create(&thread, NULL, sleep_in_connect, NULL);
    usleep(300000);
    if (strcmp(what, "observe") == 0) {
        observe("thread");
    } else if (strcmp(what, "fork") == 0) {
        pid_t child = fork();
        if (child == 0) {
            observe("child");
            _exit(0);
        }
        waitpid(child, NULL, 0);
    } else if (strcmp(what, "select") == 0) {
        fd_set readable;
        FD_ZERO(&readable);
        FD_SET(fd, &readable);
        struct timeval limit = {.tv_sec = 20};
        char byte[5] = "";
        open_gate(path);
        int ready = select(fd + 1, &readable, NULL, NULL, &limit);
        printf("select %d", ready);
        printf(", recv %zd", recv(fd, byte, 4, MSG_DONTWAIT));
        printf(" %s\n", byte);
    }
    if (strcmp(what, "select") != 0)
        open_gate(path);
    pthread_join(thread, &result);
    printf("connect %s\n", result ? errno_name((int)(long)result) : "0");
    printf("flags %s\n", fcntl(fd, F_GETFL) & O_NONBLOCK ? "nonblock" : "block");
    printf("echo %d\n", strcmp(what, "select") == 0 || echoes(fd, "afterwards"));
}

static void share(const char *path)
{
    fd = socket(to.any.sa_family, SOCK_STREAM, 0);
    pid_t child = fork();
    if (child == 0)
        _exit(connect(fd, &to.any, to.length) == 0 ? 0 : errno);
    usleep(300000);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    usleep(100000);
    open_gate(path);
    int result = connect(fd, &to.any, to.length);
    printf("connect %s\n", result ? errno_name(errno) : "0");
    printf("echo %d\n", echoes(fd, "afterwards"));
}

static void reuse(int rounds)
{
    long written = 0, taken = 0, refused = 0;
    for (int i = 0; i < rounds; i++) {
        pthread_t thread;
        void *result;
        asleep = 0;
        fd = socket(to.any.sa_family, SOCK_STREAM, 0);
        pthread_create(&thread, NULL, sleep_in_connect, NULL);
        while (!asleep)
            sched_yield();
        for (volatile int spin = 0; spin < i * 997 % 300000; spin++)
            ;
        close(fd);
        /* An unrelated socket that has data to read. */
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || send(pair[1], "0123456789", 10, 0) != 10)
            give_up("socketpair");
        pthread_join(thread, &result);
        char text[32];
        taken += recv(pair[0], text, sizeof text, MSG_DONTWAIT) != 10 || memcmp(text, "0123456789", 10) != 0;
        written += recv(pair[1], text, sizeof text, MSG_DONTWAIT) != -1 || errno != EAGAIN;
        refused += result != 0;
        close(pair[0]);
        close(pair[1]);
    }
    printf("written %ld, taken %ld, failed %s\n", written, taken, refused ? "some" : "none");
}

int main(int count, char **words)
{
    if (count != 5)
        give_up("usage: beside HOST PORT observe|fork|select|shared GATE, or beside HOST PORT reuse ROUNDS");
    to = address_of(words[1], words[2]);
    if (strcmp(words[3], "reuse") == 0)
        reuse(atoi(words[4]));
    else if (strcmp(words[3], "shared") == 0)
        share(words[4]);
    else
        check(words[3], words[4]);
    return 0;
}
