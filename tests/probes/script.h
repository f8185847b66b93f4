/* What the operations of socket_script.c share. */
#ifndef SCRIPT_H
#define SCRIPT_H

#include "probe.h"

/* `fd` is the current socket, `other` the one before it. */
static int fd = -1, other = -1;

/* The operation and its arguments. */
static char *words[8];

/* The operations that follow; and the name of the one to go on with, when some are to be left out. */
static char **rest;
static const char *skip_to;

struct name { const char *text; int value; };

static int value_of(const char *text);

static inline void say(long result)
{
    int error = errno;
    if (result < 0)
        printf(" -> -1 %s\n", errno_name(error));
    else
        printf(" -> %ld\n", result);
}

#endif
