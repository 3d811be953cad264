// The few lines that Swift can't say safely: what happens when a mapped page is not there.
//
// A file that is mapped can become shorter, or its disk can fail, between two instructions; the kernel then raises SIGBUS.
// A range that is registered here takes such a fault without harm: the page reads as zeros from then on, and the range
// remembers where it happened, so that its owner throws an error in place of the bytes.

#ifndef C_IMAGE_KERNELS_H
#define C_IMAGE_KERNELS_H

#include <stddef.h>
#include <stdint.h>
// For Swift, whose C library module leaves it out.
#include <sys/xattr.h>

/// How many words the process was started with, as the C library hands them to what runs before main(); 0 where it did not.
int lathe_argument_count(void);

/// One of these words.
const char *lathe_argument(int index);

// What Linux has and the C library only shows to those who ask for GNU extensions.
extern const int lathe_O_TMPFILE;
extern const int lathe_O_PATH;
extern const int lathe_F_SETPIPE_SZ;
extern const int lathe_SEEK_DATA;
extern const int lathe_SEEK_HOLE;

/// renameat2(2) with RENAME_NOREPLACE, between two open directories: fails with EEXIST where `to` is there.
int lathe_rename_noreplace_at(int from_directory, const char *from, int to_directory, const char *to);

/// openat2(2), for reading: a path that stays beneath the directory, without any symbolic or magic link; a device, pipe or
/// terminal neither waits nor becomes ours. A descriptor, or -1 with errno.
int lathe_open_beneath(int directory, const char *path);

/// fallocate(2) with FALLOC_FL_KEEP_SIZE: blocks for a range, whose content stays as it is.
int lathe_reserve(int descriptor, int64_t offset, int64_t length);

/// fallocate(2) with FALLOC_FL_PUNCH_HOLE: a range becomes a hole, which reads as zeros.
int lathe_punch_hole(int descriptor, int64_t offset, int64_t length);

/// copy_file_range(2): how many bytes were copied, 0 at the end of the source, or -1 with errno.
int64_t lathe_copy_range(int from, int64_t offset, int to, int64_t place, int64_t length);

/// fcntl(2) F_OFD_SETLK: an exclusive lock of this open file on a range (length 0: to the end), or an end to it; never waits.
int lathe_lock_range(int descriptor, int64_t offset, int64_t length, _Bool locked);

/// The same for a lock that others may share, which a descriptor for reading can have.
int lathe_share_range(int descriptor, int64_t offset, int64_t length);

/// fcntl(2) F_OFD_GETLK: whether anybody else has a lock on a range, shared or not; -1 with errno.
int lathe_is_range_locked(int descriptor, int64_t offset, int64_t length);

/// memfd_create(2) with MFD_CLOEXEC: the descriptor of a file without a name that lives in memory, or -1.
int lathe_memory_file(const char *name);

/// Whether a descriptor's file lives in memory alone: fstatfs(2) says tmpfs.
_Bool lathe_is_on_tmpfs(int descriptor);

/// ioctl(2) FICLONERANGE: a range of one file becomes a range of another, and both share its blocks.
int lathe_clone_range(int from, int64_t offset, int64_t length, int to, int64_t place);

/// The block of a descriptor's file system in bytes, from fstatfs(2); -1 with errno.
int64_t lathe_block_size(int descriptor);

/// How many ranges can be guarded at once in a process.
enum { lathe_guard_capacity = 256 };

/// Guards a mapped range from now on; the first call installs the handler, which passes foreign faults on.
/// Returns the guard's number, or -1 where all are taken or the handler can't be installed.
int lathe_guard_add(const void *start, size_t length);

/// Ends a guard, before the range is unmapped.
void lathe_guard_remove(int guard);

/// Where in the range the first fault happened, in bytes from its start; -1 where none has.
int64_t lathe_guard_fault(int guard);

#endif
