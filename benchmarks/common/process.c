/* See process.h. */
#include "process.h"

#include <err.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

void
process_pin(const char *core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)atoi(core), &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0) {
        err(1, "core %s", core);
    }
}

void
process_prepare(void)
{
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}
