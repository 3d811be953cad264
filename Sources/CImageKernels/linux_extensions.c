#define _GNU_SOURCE
#include "CImageKernels.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

static int argument_count = 0;
static char *const *arguments = NULL;

// glibc calls what runs before main() as it calls main().
__attribute__((constructor)) static void keep_arguments(int count, char **words) {
    argument_count = count;
    arguments = words;
}

int lathe_argument_count(void) { return argument_count; }

const char *lathe_argument(int index) { return arguments[index]; }

const int lathe_O_TMPFILE = O_TMPFILE;
const int lathe_O_PATH = O_PATH;
const int lathe_F_SETPIPE_SZ = F_SETPIPE_SZ;
const int lathe_SEEK_DATA = SEEK_DATA;
const int lathe_SEEK_HOLE = SEEK_HOLE;

int lathe_open_beneath(int directory, const char *path) {
    struct open_how how = {
        .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
}

int lathe_reserve(int descriptor, int64_t offset, int64_t length) {
    return fallocate(descriptor, FALLOC_FL_KEEP_SIZE, offset, length);
}

int lathe_punch_hole(int descriptor, int64_t offset, int64_t length) {
    return fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}

int64_t lathe_copy_range(int from, int64_t offset, int to, int64_t place, int64_t length) {
    off_t source = offset, target = place;
    return copy_file_range(from, &source, to, &target, (size_t)length, 0);
}

int lathe_lock_range(int descriptor, int64_t offset, int64_t length, _Bool locked) {
    struct flock lock = {
        .l_type = locked ? F_WRLCK : F_UNLCK, .l_whence = SEEK_SET, .l_start = offset, .l_len = length};
    return fcntl(descriptor, F_OFD_SETLK, &lock);
}

int lathe_share_range(int descriptor, int64_t offset, int64_t length) {
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = offset, .l_len = length};
    return fcntl(descriptor, F_OFD_SETLK, &lock);
}

int lathe_is_range_locked(int descriptor, int64_t offset, int64_t length) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = offset, .l_len = length};
    if (fcntl(descriptor, F_OFD_GETLK, &lock) != 0) return -1;
    return lock.l_type != F_UNLCK;
}

int lathe_memory_file(const char *name) { return memfd_create(name, MFD_CLOEXEC); }

_Bool lathe_is_on_tmpfs(int descriptor) {
    struct statfs status;
    return fstatfs(descriptor, &status) == 0 && status.f_type == TMPFS_MAGIC;
}

int lathe_clone_range(int from, int64_t offset, int64_t length, int to, int64_t place) {
    struct file_clone_range range = {
        .src_fd = from, .src_offset = (uint64_t)offset, .src_length = (uint64_t)length, .dest_offset = (uint64_t)place};
    return ioctl(to, FICLONERANGE, &range);
}

int64_t lathe_block_size(int descriptor) {
    struct statfs status;
    return fstatfs(descriptor, &status) == 0 ? (int64_t)status.f_bsize : -1;
}

int lathe_rename_noreplace_at(int from_directory, const char *from, int to_directory, const char *to) {
    return renameat2(from_directory, from, to_directory, to, RENAME_NOREPLACE);
}
