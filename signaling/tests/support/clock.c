// Preloaded into redis-server by a test: the wall clock is so many seconds ahead as the file `clock` in the working
// folder says. (libfaketime cannot do this: it and jemalloc call each other at the start without end.)
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int failed = (int)syscall(SYS_gettimeofday, now, zone);
    char text[32] = {0};
    int file = open("clock", O_RDONLY);
    if (file >= 0) {
        if (read(file, text, sizeof text - 1) > 0) now->tv_sec += atoll(text);
        close(file);
    }
    return failed;
}
