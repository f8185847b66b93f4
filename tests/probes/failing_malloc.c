/* failing_malloc once|onward connect|pending|name HOST PORT: for each n, a child whose n-th allocation fails
 * (once: only that one; onward: every later one too) while it connects, connects without blocking, or resolves HOST. The
 * allocations of the library, which maps its own memory, are included. Ends when a child makes fewer than n allocations.
 * Prints how often each outcome occurred; a child killed by a signal is one of the outcomes. */
#include "probe.h"
#include <dlfcn.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* glibc's own names for what is interposed here. */
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

/* The allocation that fails, counted down; 0: none does. */
static _Atomic long countdown;
static _Atomic long refused;
static int onward;

static int refuses(void)
{
    if (countdown == 0 || (countdown > 1 && countdown-- > 1))
        return 0;
    if (!onward)
        countdown = 0;
    refused++;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size) { return refuses() ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return refuses() ? NULL : __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { return refuses() ? NULL : __libc_realloc(old, size); }
void *memalign(size_t align, size_t size) { return refuses() ? NULL : __libc_memalign(align, size); }
void *aligned_alloc(size_t align, size_t size) { return memalign(align, size); }

int posix_memalign(void **result, size_t align, size_t size)
{
    *result = memalign(align, size);
    return *result ? 0 : ENOMEM;
}

/* By this one the library maps its memory. */
long syscall(long number, ...)
{
    static long (*real)(long, ...);
    if (!real)
        real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    va_list list;
    va_start(list, number);
    long words[6];
    for (int i = 0; i < 6; i++)
        words[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_mmap && refuses())
        return -1;
    return real(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

/* What became of the one thing that a child does: 0, or a word. */
static const char *act(const char *what, const char *host, const char *port)
{
    if (strcmp(what, "name") == 0) {
        struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list = NULL;
        int code = getaddrinfo(host, port, &hints, &list);
        countdown = 0;
        if (code == 0)
            freeaddrinfo(list);
        return code == 0            ? "good"
               : code == EAI_MEMORY ? "EAI_MEMORY"
               : code == EAI_SYSTEM ? errno_name(errno)
                                    : gai_strerror(code);
    }
    struct address to = address_of(host, port);
    int pending = strcmp(what, "pending") == 0, error = 0;
    socklen_t length = sizeof error;
    int fd = socket(AF_INET, SOCK_STREAM | (pending ? SOCK_NONBLOCK : 0), 0);
    int result = connect(fd, &to.any, to.length);
    if (result < 0 && errno == EINPROGRESS) {
        struct pollfd one = {.fd = fd, .events = POLLOUT};
        if (poll(&one, 1, 60000) != 1)
            return "hung";
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    } else if (result < 0) {
        error = errno;
    }
    countdown = 0;
    if (error)
        return errno_name(error);
    fcntl(fd, F_SETFL, 0);
    return echoes(fd, "enough memory") ? "good" : "no echo";
}

struct outcome {
    char word[24];
    int times;
};

int main(int count, char **words)
{
    if (count != 5)
        give_up("usage: failing_malloc once|onward connect|pending|name HOST PORT");
    onward = strcmp(words[1], "onward") == 0;
    static struct outcome outcomes[16];
    for (long n = 1, more = 1; more && n < 10000; n++) {
        int ends[2];
        if (pipe(ends) < 0)
            give_up("pipe");
        pid_t pid = fork();
        if (pid == 0) {
            char said[24] = "";
            alarm(60);
            countdown = n;
            snprintf(said, sizeof said - 1, "%s", act(words[2], words[3], words[4]));
            said[sizeof said - 1] = refused > 0;
            _exit(write(ends[1], said, sizeof said) != sizeof said);
        }
        close(ends[1]);
        struct outcome one = {.times = 1};
        int status = 0;
        ssize_t got = read(ends[0], one.word, sizeof one.word);
        close(ends[0]);
        waitpid(pid, &status, 0);
        if (got == sizeof one.word)
            more = one.word[sizeof one.word - 1];
        else
            snprintf(one.word, sizeof one.word, "died %d", WIFSIGNALED(status) ? WTERMSIG(status) : -1);
        if (!more)
            break;
        size_t i = 0;
        while (i < 15 && outcomes[i].times && strcmp(outcomes[i].word, one.word) != 0)
            i++;
        one.times += outcomes[i].times;
        outcomes[i] = one;
    }
    for (size_t i = 0; i < 16 && outcomes[i].times; i++)
        printf("%s: %d\n", outcomes[i].word, outcomes[i].times);
    return 0;
}
