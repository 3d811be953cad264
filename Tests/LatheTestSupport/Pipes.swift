internal import Foundation
internal import Glibc
internal import ImageModel

/// Both ends of a pipe; each is closed once.
public func makePipe() throws -> (reading: Int32, writing: Int32) {
    var ends: [Int32] = [0, 0]
    guard unsafe pipe(&ends) == 0 else { throw ImageError(.inputOutput, "no pipe could be made") }
    return (ends[0], ends[1])
}

/// A pipe to which bytes are written in pieces of seeded lengths: the end to be read and closed.
public func makePipe(carrying content: [UInt8], seed: UInt64, pieces: ClosedRange<Int>) throws -> Int32 {
    let ends = try makePipe()
    Thread.detachNewThread {
        var generator = SeededGenerator(seed: seed)
        var done = 0
        while done < content.count {
            let length = min(content.count - done, Int.random(in: pieces, using: &generator))
            let count = unsafe write(ends.writing, Array(content[done..<done + length]), length)
            guard count > 0 else { break }
            done += count
        }
        close(ends.writing)
    }
    return ends.reading
}
