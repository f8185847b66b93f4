/* starts TIMES [NAME=VALUE…] PROGRAM [ARGUMENT…]: runs PROGRAM with these variables, TIMES times, one after the other.
   Prints the median microseconds from its spawn to its end, and the page faults of the last one. */
#include "bench.h"
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>

extern char **environ;

int main(int count, char **words)
{
    if (count < 3)
        give_up("usage: starts TIMES [NAME=VALUE...] PROGRAM [ARGUMENT...]");
    int times = atoi(words[1]);
    char **program = words + 2;
    for (; *program && strchr(*program, '='); program++)
        putenv(*program);
    struct rusage used = {0};
    double *took = calloc((size_t)times, sizeof *took);
    for (int i = 0; i < times; i++) {
        double began = now_ns();
        pid_t child;
        int status;
        if (posix_spawnp(&child, program[0], NULL, NULL, program, environ) != 0)
            give_up(program[0]);
        if (wait4(child, &status, 0, &used) != child || status != 0)
            give_up("the program failed");
        took[i] = (now_ns() - began) / 1e3;
    }
    printf("%.2f %ld\n", median_of(took, times), used.ru_minflt);
    return 0;
}
