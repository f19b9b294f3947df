/* Stands between a program and the C library, and lets calls on files named *.db* fail or take long, as the file that
   IMPSGW_FAILING names says: "ok", "read-only", "no-sync", or "slow" and milliseconds. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static void wanted(char *mode, size_t size) {
    const char *path = getenv("IMPSGW_FAILING");
    FILE *file = path ? fopen(path, "r") : NULL;
    mode[0] = 0;
    if (!file) return;
    if (!fgets(mode, (int)size, file)) mode[0] = 0;
    fclose(file);
}

static int is_database(int fd) {
    char link[64], name[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length < 0) return 0;
    name[length] = 0;
    return strstr(name, ".db") != NULL;
}

static int is_read_only(int fd) {
    char mode[32];
    if (!is_database(fd)) return 0;
    wanted(mode, sizeof mode);
    if (strncmp(mode, "read-only", 9)) return 0;
    errno = EROFS;
    return 1;
}

static int sync_fails(int fd) {
    char mode[32];
    if (!is_database(fd)) return 0;
    wanted(mode, sizeof mode);
    if (!strncmp(mode, "slow", 4)) {
        long millis = atol(mode + 4);
        struct timespec pause = {millis / 1000, millis % 1000 * 1000000};
        nanosleep(&pause, NULL);
    }
    if (strncmp(mode, "no-sync", 7)) return 0;
    errno = EIO;
    return 1;
}

#define NEXT(name, ...) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))(__VA_ARGS__)

ssize_t pwrite64(int fd, const void *from, size_t count, off64_t at) {
    return is_read_only(fd) ? -1 : NEXT(pwrite64, fd, from, count, at);
}

ssize_t pwrite(int fd, const void *from, size_t count, off_t at) {
    return is_read_only(fd) ? -1 : NEXT(pwrite, fd, from, count, at);
}

ssize_t write(int fd, const void *from, size_t count) {
    return is_read_only(fd) ? -1 : NEXT(write, fd, from, count);
}

int ftruncate64(int fd, off64_t length) {
    return is_read_only(fd) ? -1 : NEXT(ftruncate64, fd, length);
}

int fsync(int fd) {
    return sync_fails(fd) ? -1 : NEXT(fsync, fd);
}

int fdatasync(int fd) {
    return sync_fails(fd) ? -1 : NEXT(fdatasync, fd);
}
