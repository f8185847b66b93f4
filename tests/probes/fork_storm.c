/* fork_storm HOST PORT DEPTH: a process connects without blocking, forks two children while that is pending, connects
 * again, blocking, and sees whether both connections work; each child does the same, to DEPTH generations. Prints the
 * number of processes for which all was well. */
#include "probe.h"
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>

static _Atomic int *good;

static void generation(const struct address *to, int depth)
{
    int first = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error = 0, wrong = 0;
    socklen_t length = sizeof error;
    connect(first, &to->any, to->length);
    pid_t children[2] = {0};
    for (int i = 0; depth > 1 && i < 2; i++) {
        children[i] = fork();
        if (children[i] < 0)
            give_up("fork");
        if (children[i] == 0) {
            close(first);
            generation(to, depth - 1);
            _exit(0);
        }
    }
    int second = dial(to);
    wrong += second < 0 || !echoes(second, "second");
    struct pollfd one = {.fd = first, .events = POLLOUT};
    wrong += poll(&one, 1, 60000) != 1;
    getsockopt(first, SOL_SOCKET, SO_ERROR, &error, &length);
    fcntl(first, F_SETFL, 0);
    wrong += error != 0 || !echoes(first, "first");
    for (int i = 0; i < 2; i++) {
        int status = 0;
        if (children[i] > 0)
            waitpid(children[i], &status, 0);
        wrong += status != 0;
    }
    if (wrong == 0)
        ++*good;
}

int main(int count, char **words)
{
    if (count != 4)
        give_up("usage: fork_storm HOST PORT DEPTH");
    struct address to = address_of(words[1], words[2]);
    good = mmap(NULL, sizeof *good, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    generation(&to, atoi(words[3]));
    printf("good %d\n", *good);
    return 0;
}
