internal import CISAL
internal import Glibc

/// Memory for the state of an ISA-L stream, at an address that does not show in what the stream becomes.
///
/// `isal_deflate_icf_body_hash_hist` of ISA-L 2.30, in all its versions in assembler, hashes the third position of a block from a
/// register that still holds the address of the stream, where that of the content is meant: the position is noted in the slot
/// CRC-32C(address >> 16) of the hash table, and what stood there, be it the first position, is never found again. With memory
/// from the heap, about one unit in ten thousand became other bytes in another process.
///
/// So the state is put where the slot is always the same. Of the 2^15 blocks of 64 KiB from a multiple of 2 GiB on that is so for
/// exactly one, since the CRC is linear and maps the low 15 bits of a word onto its own.
@safe struct ISALStreamMemory: ~Copyable {
    /// Of the address as it is hashed, what is shifted out: blocks are of 64 KiB.
    private static let blockBits: UInt = 16
    /// As many bits as the longest hash has, `IGZIP_LVL2_HASH_SIZE` slots; level 1 has its low bits.
    static let slotBits: UInt = 15
    /// Any but 0, which is that of four zeros: many units have them among their first bytes, and would become longer.
    static let slot: UInt32 = 0x5A5A
    /// So many runs are tried at one distance from each other, then the distance doubles: other streams lie in the first ones, and a
    /// mapped source of many tebibytes may lie in thousands.
    private static let runsOfOneStep = 64
    private static let length = unsafe MemoryLayout<isal_zstream>.size

    let stream: UnsafeMutablePointer<isal_zstream>

    /// Zeros; nil where there is no memory.
    init?() {
        guard let somewhere = unsafe Self.map(nil) else { return nil }
        unsafe munmap(somewhere, Self.length)
        let run = UInt(1) << (Self.slotBits + Self.blockBits)
        // The system hands addresses out from the top, so there is room below.
        var number = UInt(bitPattern: somewhere) / run
        var step: UInt = 1
        while number > step {
            for _ in 0..<Self.runsOfOneStep where number > step {
                let address = Self.address(inRun: number * run)
                guard let memory = unsafe Self.map(UnsafeMutableRawPointer(bitPattern: address)) else { return nil }
                if UInt(bitPattern: memory) == address {
                    unsafe stream = memory.bindMemory(to: isal_zstream.self, capacity: 1)
                    return
                }
                unsafe munmap(memory, Self.length)
                number -= step
            }
            step *= 2
        }
        return nil
    }

    deinit { unsafe munmap(stream, Self.length) }

    /// Maps zeros, at an address where that is free, else elsewhere; nil where there is no memory.
    private static func map(_ address: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        let memory = unsafe mmap(address, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let memory = unsafe memory, unsafe memory != MAP_FAILED else { return nil }
        return unsafe memory
    }

    /// The one address of a run of 2 GiB that is the start of a block with the slot.
    static func address(inRun start: UInt) -> UInt {
        let change = slot(of: start) ^ slot
        return start + blocks[Int(change)] << blockBits
    }

    /// The slot that ISA-L takes an address for.
    static func slot(of address: UInt) -> UInt32 {
        crc32c(UInt32(truncatingIfNeeded: address >> blockBits)) & (1 << slotBits - 1)
    }

    /// The block whose number, as the low bits of a word, changes the slot by the index.
    private static let blocks: [UInt] = {
        let changes = (0..<slotBits).map { slot(of: 1 << ($0 + blockBits)) }
        var slots = [UInt32](repeating: 0, count: 1 << slotBits)
        var blocks = [UInt](repeating: 0, count: slots.count)
        for block in 1..<slots.count {
            slots[block] = slots[block & (block - 1)] ^ changes[block.trailingZeroBitCount]
            blocks[Int(slots[block])] = UInt(block)
        }
        return blocks
    }()

    /// What the instruction `crc32` makes of a word, beginning from zero.
    private static func crc32c(_ word: UInt32) -> UInt32 {
        (0..<32).reduce(word) { crc, _ in crc & 1 == 0 ? crc >> 1 : crc >> 1 ^ 0x82F6_3B78 }
    }
}
