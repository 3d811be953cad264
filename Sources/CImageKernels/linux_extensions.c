#define _GNU_SOURCE
#include "CImageKernels.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

const int lathe_O_TMPFILE = O_TMPFILE;
const int lathe_SEEK_DATA = SEEK_DATA;
const int lathe_SEEK_HOLE = SEEK_HOLE;

int lathe_reserve(int descriptor, int64_t offset, int64_t length) {
    return fallocate(descriptor, FALLOC_FL_KEEP_SIZE, offset, length);
}

int lathe_memory_file(const char *name) { return memfd_create(name, MFD_CLOEXEC); }

_Bool lathe_is_on_tmpfs(int descriptor) {
    struct statfs status;
    return fstatfs(descriptor, &status) == 0 && status.f_type == TMPFS_MAGIC;
}

int lathe_rename_noreplace(const char *from, const char *to) {
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
}
