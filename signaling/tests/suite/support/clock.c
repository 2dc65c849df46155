// Preloaded into a server by a test. The file `clock` in the working folder says by how many seconds the wall clock is
// ahead. (libfaketime cannot do this to Redis: it and jemalloc call each other endlessly at the start.)
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long long seconds_ahead(void) {
    char text[32] = {0};
    int file = open("clock", O_RDONLY);
    if (file < 0) return 0;

    long long seconds = read(file, text, sizeof text - 1) > 0 ? atoll(text) : 0;
    close(file);
    return seconds;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int failed = (int)syscall(SYS_gettimeofday, now, zone);
    now->tv_sec += seconds_ahead();
    return failed;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += seconds_ahead();
    return failed;
}
