// Lets the wall clock of Python jump, for `ragserve chaos --clock FILE`. Sleeps and the monotonic clock stay as they are.
//
//   cc -shared -fPIC -O2 -o jumping_clock.so loadtests/jumping_clock.c -ldl && head -c 8 /dev/zero > clock
//   LD_PRELOAD=$PWD/jumping_clock.so RAGSERVE_CHAOS_CLOCK=$PWD/clock ragserve up
//
// The file holds a double: so many seconds the clock is ahead. Only calls by the interpreter itself are changed: C++
// libraries give the time to the kernel as the end of a wait, and the kernel's clock does not jump.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static const double *ahead;
static void *interpreter;  // where Python is loaded

__attribute__((constructor)) static void map_clock(void) {
    Dl_info info;
    void *symbol = dlsym(RTLD_DEFAULT, "Py_GetVersion");
    const char *path = getenv("RAGSERVE_CHAOS_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
    if (symbol && mapped != MAP_FAILED && dladdr(symbol, &info)) {
        interpreter = info.dli_fbase;
        ahead = mapped;
    }
}

int clock_gettime(clockid_t id, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    Dl_info caller;
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(id, time);
    if (ahead && *ahead && id == CLOCK_REALTIME && dladdr(__builtin_return_address(0), &caller)
        && caller.dli_fbase == interpreter)
        time->tv_sec += (time_t)*ahead;
    return status;
}
