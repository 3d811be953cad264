// The floor under every conversion from raw: what a loop costs that maps the source, brings its pages in, finds the
// zeros and writes the rest, with two threads and no checksum, no format and no check of anything but errors.
//
//   cc -O3 -march=native -pthread -o floor floor.c && ./floor SOURCE DESTINATION

#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { unitLength = 64 << 10, chunkLength = 4 << 20, threadCount = 2 };

static const char *source;
static off_t sourceLength;
static int sourceFile, destinationFile;
static _Atomic off_t nextChunk;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

// The compiler makes vector instructions of the inner loop; a block of data is left at its first 512 bytes.
static int isZero(const char *bytes, size_t length) {
    size_t at = 0;
    for (; at + 512 <= length; at += 512) {
        uint64_t any = 0;
        for (size_t word = 0; word < 512; word += 8) {
            uint64_t value;
            memcpy(&value, bytes + at + word, 8);
            any |= value;
        }
        if (any) return 0;
    }
    for (; at < length; at++)
        if (bytes[at]) return 0;
    return 1;
}

static void writeAll(off_t offset, size_t length) {
    while (length > 0) {
        ssize_t written = pwrite(destinationFile, source + offset, length, offset);
        if (written < 0) fail("pwrite");
        offset += written;
        length -= (size_t)written;
    }
}

// Copies the data between two guest offsets, a unit at a time.
static void copyRange(off_t offset, off_t end) {
    size_t length = (size_t)(end - offset);
    off_t page = offset & ~(off_t)4095;
    madvise((void *)(source + page), length + (size_t)(offset - page), MADV_POPULATE_READ);
    while (offset < end) {
        off_t unitEnd = (offset / unitLength + 1) * unitLength;
        if (unitEnd > end) unitEnd = end;
        if (!isZero(source + offset, (size_t)(unitEnd - offset))) writeAll(offset, (size_t)(unitEnd - offset));
        offset = unitEnd;
    }
}

static void copyChunk(off_t offset, off_t end) {
    while (offset < end) {
        off_t data = lseek(sourceFile, offset, SEEK_DATA);
        if (data < 0 || data >= end) return;
        off_t hole = lseek(sourceFile, data, SEEK_HOLE);
        if (hole < 0 || hole > end) hole = end;
        copyRange(data, hole);
        offset = hole;
    }
}

static void *work(void *unused) {
    for (;;) {
        off_t offset = atomic_fetch_add(&nextChunk, chunkLength);
        if (offset >= sourceLength) return unused;
        off_t end = offset + chunkLength;
        copyChunk(offset, end < sourceLength ? end : sourceLength);
    }
}

int main(int count, char **arguments) {
    if (count != 3) {
        fprintf(stderr, "usage: floor SOURCE DESTINATION\n");
        return 2;
    }
    sourceFile = open(arguments[1], O_RDONLY);
    if (sourceFile < 0) fail(arguments[1]);
    struct stat status;
    if (fstat(sourceFile, &status) < 0) fail("fstat");
    sourceLength = status.st_size;
    source = mmap(NULL, (size_t)sourceLength, PROT_READ, MAP_SHARED, sourceFile, 0);
    if (source == MAP_FAILED) fail("mmap");
    destinationFile = open(arguments[2], O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (destinationFile < 0) fail(arguments[2]);
    if (ftruncate(destinationFile, sourceLength) < 0) fail("ftruncate");

    pthread_t threads[threadCount];
    for (int i = 0; i < threadCount; i++)
        if (pthread_create(&threads[i], NULL, work, NULL)) fail("pthread_create");
    for (int i = 0; i < threadCount; i++) pthread_join(threads[i], NULL);
    if (close(destinationFile) < 0) fail("close");
    return 0;
}
