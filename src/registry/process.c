#include "registry/process.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/metric.h"

enum { FILE_MOST = 4096 };

/* A file of /proc, cut at what is wanted of it; "" when it cannot be read. */
static const char *slurp(const char *path, char text[FILE_MOST])
{
    FILE *file = fopen(path, "re");

    size_t n = file == NULL ? 0 : fread(text, 1, FILE_MOST - 1, file);
    text[n] = '\0';
    if (file != NULL) {
        (void)fclose(file);
    }
    return text;
}

/* The number behind "Name:", 0 when there is none. */
static uint64_t number_of(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10);
}

static uint64_t open_files(void)
{
    struct stat folder;

    /* Newer systems tell it as the folder's size. */
    if (stat("/proc/self/fd", &folder) == 0 && folder.st_size > 0) {
        return (uint64_t)folder.st_size;
    }
    DIR *files = opendir("/proc/self/fd");
    uint64_t n = 0;
    while (files != NULL && readdir(files) != NULL) {
        n++;
    }
    if (files != NULL) {
        (void)closedir(files);
    }
    return n > 3 ? n - 3 : 0; /* itself, "." and ".." */
}

static uint64_t micros(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

static void add_limits(struct buf *out)
{
    struct rusage used = {0};
    struct rlimit files = {0};

    (void)getrusage(RUSAGE_SELF, &used);
    (void)getrlimit(RLIMIT_NOFILE, &files);
    metric_seconds(out, "process_cpu_seconds_total", "counter",
                   "Processor time used, by user and system.",
                   micros(used.ru_utime) + micros(used.ru_stime));
    metric_gauge(out, "process_open_fds", "Open file descriptors.",
                 open_files());
    metric_gauge(out, "process_max_fds", "File descriptors it may have open.",
                 files.rlim_cur);
}

static void add_memory(struct buf *out)
{
    char text[FILE_MOST];

    (void)slurp("/proc/self/status", text);
    metric_gauge(out, "process_virtual_memory_bytes", "Address space in use.",
                 number_of(text, "VmSize:") * 1024);
    metric_gauge(out, "process_resident_memory_bytes",
                 "Resident memory, with the pages of the store's map.",
                 number_of(text, "VmRSS:") * 1024);
    metric_gauge(out, "roster_process_anonymous_memory_bytes",
                 "Resident memory that is the process's own, without pages of "
                 "files.",
                 number_of(text, "RssAnon:") * 1024);
    metric_gauge(out, "roster_process_threads", "Threads.",
                 number_of(text, "Threads:"));
}

void process_metrics(uint64_t started_s, struct buf *out)
{
    add_limits(out);
    add_memory(out);
    metric_gauge(out, "process_start_time_seconds",
                 "Start of the process, in seconds since 1970.", started_s);
}
