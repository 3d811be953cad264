import ImageModel
import LatheTestSupport
import Testing

@testable import ObjectStorage

/// When a part is complete, for writes in any order.
@Suite struct PartLedgerTests {
    private func range(_ start: UInt64, _ end: UInt64) -> FileRange { FileRange(start, length: end - start) }

    @Test func aPartIsCompleteOnceItIsClosedAndWritten() {
        var ledger = PartLedger(partLength: 100)
        ledger.expect([range(0, 50), range(120, 180)])
        #expect(ledger.close(except: [range(0, 10), FileRange(from: FileOffset(200))]) == .init())
        var complete: [Int] = []
        ledger.write(range(120, 150)) { complete.append($0) }
        #expect(complete.isEmpty)
        ledger.write(range(150, 180)) { complete.append($0) }
        #expect(complete == [1])
        ledger.write(range(0, 50)) { complete.append($0) }
        #expect(complete == [1], "the head is still open")
        #expect(ledger.close(except: [FileRange(from: FileOffset(200))]) == .init(written: [0], zero: []))
    }

    @Test func partsThatNobodyWritesToAreZero() {
        var ledger = PartLedger(partLength: 100)
        ledger.expect([range(250, 260)])
        #expect(ledger.close(except: [FileRange(from: FileOffset(1000))]) == .init(written: [], zero: [0..<2, 3..<10]))
        #expect(ledger.close(except: [FileRange(from: FileOffset(1000))]) == .init(), "each is said once")
    }

    @Test func whatReachesIntoAPartKeepsItOpen() {
        var ledger = PartLedger(partLength: 100)
        #expect(
            ledger.close(except: [range(199, 201), FileRange(from: FileOffset(450))])
                == .init(written: [], zero: [0..<1, 3..<4]))
        #expect(ledger.close(except: [FileRange(from: FileOffset(450))]) == .init(written: [], zero: [1..<3]))
    }

    /// A file is written at random in pieces that were announced in random batches; in the end every part was said once, and none
    /// before its last byte.
    @Test(arguments: 1...20) func everyPartIsSaidOnceAndNotTooEarly(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let partLength = UInt64.random(in: 1...400, using: &generator)
        let length = UInt64.random(in: 1...5000, using: &generator)
        var ledger = PartLedger(partLength: partLength)
        var pending: [FileRange] = []
        var missing: [Int: UInt64] = [:]
        var said: [Int] = []
        var front: UInt64 = 0
        let parts = Int(length / partLength)

        func say(_ settled: PartLedger.Settled) {
            said += settled.written
            for zero in settled.zero { said += zero }
        }
        while front < length || !pending.isEmpty {
            if front < length, Bool.random(using: &generator) || pending.isEmpty {
                var writes: [FileRange] = []
                for _ in 0..<Int.random(in: 0...3, using: &generator) where front < length {
                    let start = min(length, front + UInt64.random(in: 0...300, using: &generator))
                    let end = min(length, start + UInt64.random(in: 1...600, using: &generator))
                    if start < end { writes.append(range(start, end)) }
                    front = end
                }
                if Int.random(in: 0..<20, using: &generator) == 0 { front = length }
                for write in writes { count(write, partLength) { missing[$0, default: 0] += $1 } }
                ledger.expect(writes)
                pending += writes
                say(ledger.close(except: [FileRange(from: FileOffset(front))]))
            } else {
                let write = pending.remove(at: Int.random(in: pending.indices, using: &generator))
                count(write, partLength) { missing[$0, default: 0] -= $1 }
                ledger.write(write) { said.append($0) }
            }
            for part in said {
                #expect(missing[part, default: 0] == 0, "seed \(seed): part \(part) was said too early")
            }
        }
        #expect(said.filter { $0 < parts }.sorted() == Array(0..<parts), "seed \(seed)")
    }

    private func count(_ range: FileRange, _ partLength: UInt64, _ body: (Int, UInt64) -> Void) {
        for byte in range.start.bytes..<range.end.bytes { body(Int(byte / partLength), 1) }
    }
}
