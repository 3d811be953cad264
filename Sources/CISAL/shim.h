#include <isa-l.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

// Sums of products are macros that Swift does not see.
static const uint32_t lathe_ISAL_DEF_LVL1_LARGE = ISAL_DEF_LVL1_LARGE;
static const uint32_t lathe_ISAL_DEF_LVL2_LARGE = ISAL_DEF_LVL2_LARGE;

// Where a stream lies shows in what ISA-L 2.30 makes of levels 1 and 2.
//
// isal_deflate_icf_body_hash_hist, in all its versions in assembler, hashes the third position of a block from a register that
// still holds the address of the stream, where that of the content is meant: the position is then noted in the slot
// crc32c(address >> 16) of the hash table, and what stood there, be it the first position, is never found again. So the bytes
// of about one unit in ten thousand depended on the address, which is another in every process.
//
// So a stream is put where that is always the same slot: of any 2^15 blocks of 64 KiB in a row from a multiple of 2 GiB that is so
// for exactly one, since the CRC is linear and maps the low 15 bits of the word onto its own.

// As many bits as the longest hash has, that of level 2: IGZIP_LVL2_HASH_SIZE slots.
enum { lathe_hash_bits = 15, lathe_block_bits = 16 };

// Any but 0, which is that of four zeros: many units have them among their first bytes, and would become longer.
enum { lathe_slot = 0x5A5A };

// What the instruction crc32 makes of a word, beginning from zero.
static inline uint32_t lathe_crc32c_of_word(uint32_t word) {
    for (int bit = 0; bit < 32; bit++) word = (word >> 1) ^ (0x82F63B78u & (0u - (word & 1u)));
    return word;
}

// The slot that an address comes to, in a hash table of level 2; level 1 has its low bits.
static inline uint32_t lathe_slot_of_address(const void *address) {
    return lathe_crc32c_of_word((uint32_t)((uintptr_t)address >> lathe_block_bits)) & ((1u << lathe_hash_bits) - 1);
}

// A stream at an address of lathe_slot; NULL where there is no memory. Takes 4 GiB of addresses, and no memory, while it looks.
static inline struct isal_zstream *lathe_allocate_stream(void) {
    const size_t run = (size_t)1 << (lathe_hash_bits + lathe_block_bits), size = sizeof(struct isal_zstream);
    const size_t length = 2 * run + ((size_t)2 << lathe_block_bits);
    char *reserved = (char *)mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) return NULL;
    char *first = (char *)(((uintptr_t)reserved + run - 1) & ~(uintptr_t)(run - 1));
    uint32_t changes[lathe_hash_bits];
    for (int bit = 0; bit < lathe_hash_bits; bit++) changes[bit] = lathe_crc32c_of_word(1u << bit);
    // In the order of a Gray code: one bit of the word changes at a time, and with it always the same bits of the CRC.
    uint32_t block = 0, crc = lathe_crc32c_of_word((uint32_t)((uintptr_t)first >> lathe_block_bits));
    for (uint32_t step = 1; (crc & ((1u << lathe_hash_bits) - 1)) != lathe_slot && step < 1u << lathe_hash_bits; step++) {
        int bit = __builtin_ctz(step);
        block ^= 1u << bit;
        crc ^= changes[bit];
    }
    char *stream = first + ((size_t)block << lathe_block_bits);
    const size_t pages = (size + 4095) & ~(size_t)4095;
    if (lathe_slot_of_address(stream) != lathe_slot || mprotect(stream, pages, PROT_READ | PROT_WRITE) != 0) {
        munmap(reserved, length);
        return NULL;
    }
    if (stream > reserved) munmap(reserved, (size_t)(stream - reserved));
    munmap(stream + pages, (size_t)(reserved + length - (stream + pages)));
    return (struct isal_zstream *)stream;
}

static inline void lathe_free_stream(struct isal_zstream *stream) {
    munmap(stream, (sizeof(struct isal_zstream) + 4095) & ~(size_t)4095);
}
