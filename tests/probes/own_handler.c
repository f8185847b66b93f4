/* own_handler HOST PORT GATE restart|plain alone|threads WHAT: a signal handler of a thread that sleeps in a blocking
 * connect to HOST PORT does something with that very socket. WHAT: shutdown, unspec (connect(2) to AF_UNSPEC), connect,
 * fork. Opens the GATE afterwards, or in the handler where that waits for the end. Prints what the handler got and how
 * the connect ended. */
#include "probe.h"
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

static struct address to, gate;
static int fd;
static const char *what;
static int handled, forked;
static pid_t child = -1;

static void open_gate(void)
{
    int number = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(number, &gate.any, gate.length) != 0)
        give_up("gate");
    close(number);
}

static void *open_later(void *unused)
{
    (void)unused;
    usleep(300000);
    open_gate();
    return NULL;
}

static void on_alarm(int signal)
{
    (void)signal;
    if (handled++)
        return;
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    int result = 0;
    if (strcmp(what, "shutdown") == 0)
        result = shutdown(fd, SHUT_RDWR);
    else if (strcmp(what, "unspec") == 0)
        result = connect(fd, &none, sizeof none);
    else if (strcmp(what, "connect") == 0) {
        /* Who opens the gate must be another thread or process: this one sleeps. */
        if (fork() == 0) {
            open_later(NULL);
            _exit(0);
        }
        result = connect(fd, &to.any, to.length);
    } else if (strcmp(what, "fork") == 0) {
        child = fork();
        forked = 1;
        if (child > 0)
            open_gate();
        return;
    }
    printf("handler %s\n", result ? errno_name(errno) : "0");
    fflush(stdout);
    open_gate();
}

/* Who of parent and child comes second finds the socket connected, and that is all the same here. */
static const char *outcome(int result)
{
    int error = result ? errno : 0;
    if (strcmp(what, "fork") == 0 && error == EISCONN)
        error = 0;
    return error ? errno_name(error) : "0";
}

static void *idle(void *unused)
{
    (void)unused;
    pause();
    return NULL;
}

int main(int count, char **words)
{
    if (count != 7)
        give_up("usage: own_handler HOST PORT GATE restart|plain alone|threads WHAT");
    to = address_of(words[1], words[2]);
    gate = address_of(words[3], "0");
    what = words[6];
    struct sigaction action = {.sa_handler = on_alarm};
    if (strcmp(words[4], "restart") == 0)
        action.sa_flags = SA_RESTART;
    if (strcmp(words[5], "threads") == 0) {
        pthread_t thread;
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        pthread_create(&thread, NULL, idle, NULL);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    sigaction(SIGALRM, &action, NULL);
    fd = socket(to.any.sa_family, SOCK_STREAM, 0);
    struct itimerval once = {.it_value = {.tv_usec = 200000}};
    setitimer(ITIMER_REAL, &once, NULL);
    int result = connect(fd, &to.any, to.length);
    const char *who = forked && child == 0 ? "child" : "connect";
    char line[200];
    int length = snprintf(line, sizeof line, "%s %s", who, outcome(result));
    for (int tries = 0; result != 0 && tries < 100; tries++) {
        result = connect(fd, &to.any, to.length);
        if (result == 0 || errno == EISCONN)
            break;
        usleep(50000);
    }
    length += snprintf(line + length, sizeof line - (size_t)length, ", then %s", outcome(result));
    /* One after the other: the socket is the same. */
    if (child > 0)
        waitpid(child, NULL, 0);
    snprintf(line + length, sizeof line - (size_t)length, ", echo %d\n", echoes(fd, who));
    fputs(line, stdout);
    fflush(stdout);
    if (child == 0)
        _exit(0);
    return 0;
}
