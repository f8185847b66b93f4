/* starts TIMES [NAME=VALUE…] PROGRAM [ARGUMENT…]: runs PROGRAM with these variables, TIMES times, one after the other.
   Prints the mean microseconds from its spawn to its end. */
#include "bench.h"
#include <spawn.h>
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
    double began = now_ns();
    for (int i = 0; i < times; i++) {
        pid_t child;
        int status;
        if (posix_spawnp(&child, program[0], NULL, NULL, program, environ) != 0)
            give_up(program[0]);
        if (waitpid(child, &status, 0) != child || status != 0)
            give_up("the program failed");
    }
    printf("%.2f\n", (now_ns() - began) / times / 1e3);
    return 0;
}
