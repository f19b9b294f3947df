/*
 * A disk that forgets: what was written to the store's files and not synced is gone when the process is killed.
 *
 * A killed process leaves its writes in the system's cache, so killing alone says nothing about fsync. Loaded before the
 * system's library (LD_PRELOAD), this keeps the content of the store's database and log in the memory of the process, lets
 * reads and sizes see it, and writes to the real file only what is synced. Shared memory (-shm) is left alone: it need not
 * survive.
 *
 * UNSYNCED_FILE      the name of the database file; its -wal and -journal belong to it
 * UNSYNCED_DIE_AT    the sync, counted over all files from 1, at which the process kills itself; 0 or absent: never
 * UNSYNCED_DIE_HOW   what of that sync survives: "nothing", "all", or "torn", a part of its sectors
 * UNSYNCED_SEED      which part
 *
 * What it can't model ends the process with a message: a mapping of such a file, or vectored I/O on it.
 */
#define _GNU_SOURCE
#define _LARGEFILE64_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define SECTOR 512
#define MAX_FD 65536

/* What one file holds, and which of it the disk has not. */
struct image {
    dev_t device;
    ino_t inode;
    char *octets;
    size_t size, room;
    size_t synced_size;
    /* One bit a sector. */
    unsigned char *dirty;
    size_t sectors;
    struct image *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct image *images;
static struct image *by_fd[MAX_FD];
static unsigned long syncs;

/* The system's own. */
#define REAL(name)                                                                                                     \
    (*({                                                                                                               \
        static __typeof__(&name) found;                                                                                \
        if (!found)                                                                                                    \
            found = (__typeof__(&name))real(#name);                                                                    \
        found;                                                                                                         \
    }))

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

static void give_up(const char *why)
{
    static const char head[] = "unsynced.c: ";
    REAL(write)(2, head, sizeof head - 1);
    REAL(write)(2, why, strlen(why));
    REAL(write)(2, "\n", 1);
    abort();
}

static int is_ours(const char *path)
{
    const char *name = getenv("UNSYNCED_FILE");
    const char *base = strrchr(path, '/');
    size_t length;
    if (!name)
        return 0;
    base = base ? base + 1 : path;
    length = strlen(name);
    return strncmp(base, name, length) == 0
        && (!base[length] || !strcmp(base + length, "-wal") || !strcmp(base + length, "-journal"));
}

static struct image *find(dev_t device, ino_t inode)
{
    struct image *image = images;
    while (image && (image->device != device || image->inode != inode))
        image = image->next;
    return image;
}

static void make_room(struct image *image, size_t size)
{
    size_t sectors = size / SECTOR + 1;
    if (size > image->room) {
        size_t room = size * 2 + 65536;
        image->octets = realloc(image->octets, room);
        if (!image->octets)
            give_up("no memory");
        memset(image->octets + image->room, 0, room - image->room);
        image->room = room;
    }
    if (sectors > image->sectors) {
        size_t more = sectors * 2 + 64;
        image->dirty = realloc(image->dirty, more);
        if (!image->dirty)
            give_up("no memory");
        memset(image->dirty + image->sectors, 0, more - image->sectors);
        image->sectors = more;
    }
}

static struct image *image_of(int fd)
{
    struct stat about;
    struct image *image;
    size_t at = 0;
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))
        give_up("the store is no regular file");
    image = find(about.st_dev, about.st_ino);
    if (image)
        return image;
    image = calloc(1, sizeof *image);
    if (!image)
        give_up("no memory");
    image->device = about.st_dev;
    image->inode = about.st_ino;
    image->size = image->synced_size = (size_t)about.st_size;
    make_room(image, image->size);
    if (image->size > 0) {
        /* The descriptor may be for writing only. */
        char name[64];
        int reading;
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        reading = REAL(open64)(name, O_RDONLY | O_CLOEXEC);
        if (reading < 0)
            give_up("the store can't be read");
        while (at < image->size) {
            ssize_t count = REAL(pread64)(reading, image->octets + at, image->size - at, (off64_t)at);
            if (count <= 0)
                give_up("the store can't be read");
            at += (size_t)count;
        }
        REAL(close)(reading);
    }
    image->next = images;
    images = image;
    return image;
}

/* The file is gone: another may get its inode. */
static void forget(const char *path)
{
    struct stat about;
    struct image **at = &images;
    if (!is_ours(path) || lstat(path, &about) != 0 || about.st_nlink > 1)
        return;
    for (; *at; at = &(*at)->next) {
        struct image *image = *at;
        if (image->device == about.st_dev && image->inode == about.st_ino) {
            /* Descriptors may still see it, so it is only taken out of the list. */
            *at = image->next;
            return;
        }
    }
}

static void resize(struct image *image, size_t size)
{
    make_room(image, size);
    if (size < image->size) {
        memset(image->octets + size, 0, image->size - size);
        memset(image->dirty + size / SECTOR, 1, image->size / SECTOR - size / SECTOR + 1);
    }
    image->size = size;
}

static void put(struct image *image, const void *from, size_t count, size_t at)
{
    size_t sector;
    if (count == 0)
        return;
    make_room(image, at + count);
    memcpy(image->octets + at, from, count);
    if (at + count > image->size)
        image->size = at + count;
    for (sector = at / SECTOR; sector <= (at + count - 1) / SECTOR; sector++)
        image->dirty[sector] = 1;
}

static size_t take(struct image *image, void *to, size_t count, size_t at)
{
    if (at >= image->size)
        return 0;
    if (count > image->size - at)
        count = image->size - at;
    memcpy(to, image->octets + at, count);
    return count;
}

static void write_sector(int fd, struct image *image, size_t sector, size_t size)
{
    size_t at = sector * SECTOR, done = 0;
    size_t count = at >= size ? 0 : size - at < SECTOR ? size - at : SECTOR;
    while (done < count) {
        ssize_t written = REAL(pwrite64)(fd, image->octets + at + done, count - done, (off64_t)(at + done));
        if (written <= 0)
            give_up("the store can't be written");
        done += (size_t)written;
    }
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void write_all(int fd, struct image *image)
{
    size_t sector;
    if (image->size != image->synced_size && REAL(ftruncate64)(fd, (off64_t)image->size) != 0)
        give_up("the store can't be cut");
    for (sector = 0; sector * SECTOR < image->size; sector++)
        if (image->dirty[sector])
            write_sector(fd, image, sector, image->size);
    memset(image->dirty, 0, image->sectors);
    image->synced_size = image->size;
}

/* Some of the sectors: the first ones, or any; and the new size, or what the written sectors make of the old one. */
static void write_some(int fd, struct image *image)
{
    const char *text = getenv("UNSYNCED_SEED");
    uint64_t state = text ? strtoull(text, NULL, 10) : 0;
    int is_prefix = next_random(&state) & 1;
    uint64_t share = next_random(&state) % 101;
    size_t sector, count = 0, seen = 0;
    for (sector = 0; sector * SECTOR < image->size; sector++)
        count += image->dirty[sector];
    if (next_random(&state) & 1)
        if (REAL(ftruncate64)(fd, (off64_t)image->size) != 0)
            give_up("the store can't be cut");
    for (sector = 0; sector * SECTOR < image->size; sector++) {
        if (!image->dirty[sector])
            continue;
        if (is_prefix ? seen * 100 < count * share : next_random(&state) % 100 < share)
            write_sector(fd, image, sector, image->size);
        seen++;
    }
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static int sync_image(int fd, struct image *image)
{
    const char *at = getenv("UNSYNCED_DIE_AT");
    const char *how = getenv("UNSYNCED_DIE_HOW");
    syncs++;
    if (!at || strtoul(at, NULL, 10) != syncs) {
        write_all(fd, image);
        return 0;
    }
    if (how && !strcmp(how, "all"))
        write_all(fd, image);
    else if (how && !strcmp(how, "torn"))
        write_some(fd, image);
    die();
    return -1;
}

static struct image *at_fd(int fd)
{
    return fd >= 0 && fd < MAX_FD ? __atomic_load_n(&by_fd[fd], __ATOMIC_ACQUIRE) : NULL;
}

/* Opening and closing. */

static int opened(int fd, const char *path, int flags)
{
    if (fd < 0 || !is_ours(path))
        return fd;
    if (fd >= MAX_FD)
        give_up("too many files");
    pthread_mutex_lock(&lock);
    by_fd[fd] = image_of(fd);
    if (flags & O_TRUNC)
        resize(by_fd[fd], 0);
    pthread_mutex_unlock(&lock);
    return fd;
}

#define OPEN(name, parameters, arguments)                                                                              \
    int name parameters                                                                                                \
    {                                                                                                                  \
        mode_t mode = 0;                                                                                               \
        int given;                                                                                                     \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                                           \
            va_list more;                                                                                              \
            va_start(more, flags);                                                                                     \
            mode = va_arg(more, mode_t);                                                                               \
            va_end(more);                                                                                              \
        }                                                                                                              \
        /* The real file is not cut before the sync. */                                                                \
        given = is_ours(path) ? flags & ~O_TRUNC : flags;                                                              \
        return opened(REAL(name) arguments, path, flags);                                                              \
    }

OPEN(open, (const char *path, int flags, ...), (path, given, mode))
OPEN(open64, (const char *path, int flags, ...), (path, given, mode))
OPEN(openat, (int folder, const char *path, int flags, ...), (folder, path, given, mode))
OPEN(openat64, (int folder, const char *path, int flags, ...), (folder, path, given, mode))

int close(int fd)
{
    if (fd >= 0 && fd < MAX_FD)
        __atomic_store_n(&by_fd[fd], NULL, __ATOMIC_RELEASE);
    return REAL(close)(fd);
}

int unlink(const char *path)
{
    pthread_mutex_lock(&lock);
    forget(path);
    pthread_mutex_unlock(&lock);
    return REAL(unlink)(path);
}

int rename(const char *from, const char *to)
{
    if (is_ours(from) || is_ours(to))
        give_up("the store is renamed");
    return REAL(rename)(from, to);
}

/* Reading and writing. */

static ssize_t read_at(struct image *image, void *to, size_t count, off64_t at)
{
    size_t read;
    pthread_mutex_lock(&lock);
    read = take(image, to, count, (size_t)at);
    pthread_mutex_unlock(&lock);
    return (ssize_t)read;
}

static ssize_t write_at(struct image *image, const void *from, size_t count, off64_t at)
{
    pthread_mutex_lock(&lock);
    put(image, from, count, (size_t)at);
    pthread_mutex_unlock(&lock);
    return (ssize_t)count;
}

ssize_t pread(int fd, void *to, size_t count, off_t at)
{
    struct image *image = at_fd(fd);
    return image ? read_at(image, to, count, at) : REAL(pread)(fd, to, count, at);
}

ssize_t pread64(int fd, void *to, size_t count, off64_t at)
{
    struct image *image = at_fd(fd);
    return image ? read_at(image, to, count, at) : REAL(pread64)(fd, to, count, at);
}

ssize_t pwrite(int fd, const void *from, size_t count, off_t at)
{
    struct image *image = at_fd(fd);
    return image ? write_at(image, from, count, at) : REAL(pwrite)(fd, from, count, at);
}

ssize_t pwrite64(int fd, const void *from, size_t count, off64_t at)
{
    struct image *image = at_fd(fd);
    return image ? write_at(image, from, count, at) : REAL(pwrite64)(fd, from, count, at);
}

/* The real descriptor keeps the position. */
ssize_t read(int fd, void *to, size_t count)
{
    struct image *image = at_fd(fd);
    ssize_t came;
    if (!image)
        return REAL(read)(fd, to, count);
    came = read_at(image, to, count, REAL(lseek64)(fd, 0, SEEK_CUR));
    REAL(lseek64)(fd, came, SEEK_CUR);
    return came;
}

ssize_t write(int fd, const void *from, size_t count)
{
    struct image *image = at_fd(fd);
    if (!image)
        return REAL(write)(fd, from, count);
    write_at(image, from, count, REAL(lseek64)(fd, 0, SEEK_CUR));
    REAL(lseek64)(fd, (off64_t)count, SEEK_CUR);
    return (ssize_t)count;
}

off64_t lseek64(int fd, off64_t by, int from)
{
    struct image *image = at_fd(fd);
    if (image && from == SEEK_END)
        return REAL(lseek64)(fd, (off64_t)image->size + by, SEEK_SET);
    return REAL(lseek64)(fd, by, from);
}

off_t lseek(int fd, off_t by, int from)
{
    return lseek64(fd, by, from);
}

int ftruncate64(int fd, off64_t size)
{
    struct image *image = at_fd(fd);
    if (!image)
        return REAL(ftruncate64)(fd, size);
    pthread_mutex_lock(&lock);
    resize(image, (size_t)size);
    pthread_mutex_unlock(&lock);
    return 0;
}

int ftruncate(int fd, off_t size)
{
    return ftruncate64(fd, size);
}

int fsync(int fd)
{
    struct image *image = at_fd(fd);
    int result;
    if (!image)
        return REAL(fsync)(fd);
    pthread_mutex_lock(&lock);
    result = sync_image(fd, image);
    pthread_mutex_unlock(&lock);
    return result;
}

int fdatasync(int fd)
{
    return at_fd(fd) ? fsync(fd) : REAL(fdatasync)(fd);
}

/* Sizes. */

#define SIZED(name, parameters, arguments, id, field)                                                             \
    int name parameters                                                                                                \
    {                                                                                                                  \
        struct image *image;                                                                                           \
        int result = REAL(name) arguments;                                                                             \
        if (result != 0 || !images)                                                                                    \
            return result;                                                                                             \
        pthread_mutex_lock(&lock);                                                                                     \
        image = find id;                                                                                               \
        if (image)                                                                                                     \
            about->field = (__typeof__(about->field))image->size;                                                      \
        pthread_mutex_unlock(&lock);                                                                                   \
        return result;                                                                                                 \
    }

#define ID (about->st_dev, about->st_ino)
SIZED(fstat64, (int fd, struct stat64 *about), (fd, about), ID, st_size)
SIZED(stat64, (const char *path, struct stat64 *about), (path, about), ID, st_size)
SIZED(lstat64, (const char *path, struct stat64 *about), (path, about), ID, st_size)

#include <sys/sysmacros.h>
#define STATX_ID (makedev(about->stx_dev_major, about->stx_dev_minor), about->stx_ino)
SIZED(statx,
      (int folder, const char *restrict path, int flags, unsigned int mask, struct statx *restrict about),
      (folder, path, flags, mask, about), STATX_ID, stx_size)

/* What is not modelled. */

ssize_t readv(int fd, const struct iovec *parts, int count)
{
    if (at_fd(fd))
        give_up("readv of the store");
    return REAL(readv)(fd, parts, count);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (at_fd(fd))
        give_up("writev of the store");
    return REAL(writev)(fd, parts, count);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t at)
{
    if (at_fd(fd))
        give_up("the store is mapped");
    return REAL(mmap)(address, length, protection, flags, fd, at);
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t at)
{
    if (at_fd(fd))
        give_up("the store is mapped");
    return REAL(mmap64)(address, length, protection, flags, fd, at);
}
