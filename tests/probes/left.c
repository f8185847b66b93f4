/* left HOST PORT TIMES jump|pending|cancel|exit|deferred FIRST_US STEP_US: a thread sleeps in connect and never returns from
 * it: its signal handler jumps away (siglongjmp(3)), or it is cancelled (pthread_cancel(3)), or ends in its handler
 * (pthread_exit(3)), or it is cancelled before it calls connect. With pending its socket
 * does not block, and the handler jumps all the same. FIRST_US, and STEP_US more at each of 20 rounds, is
 * when. Prints how often it happened, what the socket was afterwards, and what is left over when all are closed. */
#include "probe.h"
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

static struct address to;
static sigjmp_buf before;
static volatile int fd;
static const char *how;
static volatile int connected, in_time;

static void on_alarm(int signal)
{
    (void)signal;
    siglongjmp(before, 1);
}

static void on_user_signal(int signal)
{
    (void)signal;
    pthread_exit(PTHREAD_CANCELED);
}

static int entries(const char *directory)
{
    DIR *open = opendir(directory);
    int count = 0;
    while (open && readdir(open))
        count++;
    if (open)
        closedir(open);
    return count;
}

/* What the heap does with blocks of many sizes, as a program would between two connects. */
static void use_heap(int round)
{
    char *blocks[16];
    for (int i = 0; i < 16; i++) {
        blocks[i] = malloc((size_t)(16 + (round * 7 + i * 61) % 5000));
        memset(blocks[i], i, 16);
    }
    for (int i = 0; i < 16; i++)
        free(blocks[i]);
}

/* connecting, connected, or what else it is: asked by calls that are hooked and by some that are not. */
static const char *state(void)
{
    struct pollfd one = {.fd = fd, .events = POLLIN | POLLOUT};
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    char byte;
    if (poll(&one, 1, 0) != 0)
        return "ready";
    if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0)
        return "has a peer";
    if (recv(fd, &byte, 1, MSG_DONTWAIT) != -1 || send(fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL) != -1)
        return "moves data";
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (connect(fd, &to.any, to.length) != -1 || errno != EALREADY)
        return "is not connecting";
    return "connecting";
}

static void *sleep_in_connect(void *unused)
{
    int type;
    (void)unused;
    if (strcmp(how, "deferred") == 0) {
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &type);
        while (!in_time)
            sched_yield();
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &type);
    }
    if (connect(fd, &to.any, to.length) == 0)
        connected++;
    return NULL;
}

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Whether it was left. */
static int jump(useconds_t when)
{
    struct itimerval once = {.it_value = {.tv_usec = when}};
    if (sigsetjmp(before, 1) != 0)
        return 1;
    setitimer(ITIMER_REAL, &once, NULL);
    if (connect(fd, &to.any, to.length) == 0)
        connected++;
    while (1)
        pause();
}

static int end_thread(useconds_t when)
{
    pthread_t thread;
    void *result;
    in_time = 0;
    pthread_create(&thread, NULL, sleep_in_connect, NULL);
    usleep(when);
    long began = now_ms();
    if (strcmp(how, "exit") == 0)
        pthread_kill(thread, SIGUSR1);
    else
        pthread_cancel(thread);
    in_time = 1;
    pthread_join(thread, &result);
    return result == PTHREAD_CANCELED && now_ms() - began < 3000;
}

int main(int count, char **words)
{
    if (count != 7)
        give_up("usage: left HOST PORT TIMES jump|pending|cancel|exit|deferred FIRST_US STEP_US");
    to = address_of(words[1], words[2]);
    how = words[4];
    int times = atoi(words[3]), left = 0, connecting = 0;
    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &action, NULL);
    action.sa_handler = on_user_signal;
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < times; i++) {
        useconds_t when = (useconds_t)(atoi(words[5]) + i % 20 * atoi(words[6]));
        int pending = strcmp(how, "pending") == 0;
        fd = socket(to.any.sa_family, SOCK_STREAM | (pending ? SOCK_NONBLOCK : 0), 0);
        left += pending || strcmp(how, "jump") == 0 ? jump(when) : end_thread(when);
        use_heap(i);
        const char *is = state();
        if (strcmp(is, "connecting") == 0)
            connecting++;
        else
            printf("round %d: %s\n", i, is);
        close(fd);
        use_heap(i);
    }
    int type = -1;
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &type);
    for (int i = 0; i < 1000 && entries("/proc/self/task") != 3; i++)
        usleep(10000);
    printf("left %d, connecting %d, connected %d, cancellation %s, threads %d, descriptors %d\n", left, connecting,
           connected, type == PTHREAD_CANCEL_ENABLE ? "enabled" : "disabled", entries("/proc/self/task") - 2,
           entries("/proc/self/fd") - 3);
    return 0;
}
