public import ImageModel

/// Puts the bytes of an image together to the parts of an object, and hands out each part as soon as nothing can change it.
///
/// The image is written to it by one set of threads, and the parts are taken by another. A part takes memory from its first
/// byte until it is sent; zeros take none. How many complete parts may stand in memory is bounded, and whoever would begin one
/// more waits until another is sent, before it has the memory.
public final class PartFillingSink: ImageSink {
    /// A part that has all its bytes.
    public struct Part: Sendable {
        /// From 1.
        public let number: Int
        /// In bytes.
        public let length: UInt64
        /// Whether it is the whole object.
        public let isWholeObject: Bool
        /// nil for a part that is all zero.
        fileprivate let buffer: PartBuffer?

        /// What is sent; its checksum is computed by the call.
        public func body() throws(StoreError) -> ObjectBody {
            if let buffer { try buffer.body(count: length) } else { ObjectBody(zeros: length) }
        }
    }

    fileprivate struct State {
        var ledger: PartLedger
        /// Parts that are being filled.
        var filling: [Int: PartBuffer] = [:]
        /// Parts that have all their bytes and still stand in memory, being sent or waiting for it.
        var completeInMemory = 0
        /// Parts that are complete, in the order in which they became so.
        var ready: [Part] = []
        var firstReady = 0
        /// Zero parts wait as ranges: there may be thousands of them.
        var readyZeros: [Range<Int>] = []
        var wasAnyReady = false
        var isFinished = false
        var failure: StoreError?
    }

    public let isSequential = false
    public let followsLayout = true
    /// Of every part but the last, in bytes.
    public let partLength: UInt64
    private let monitor: Monitor<State>

    private let completeParts: Int

    /// - Parameters:
    ///   - partLength: in bytes, not 0.
    ///   - completeParts: no new part is begun while so many complete ones stand in memory, at least 1. They leave it without
    ///     the writers' help, so that nobody waits in a circle. Each writer can be at a part besides; the parts with the head
    ///     and the ends of tables, which stay open to the end, have few bytes and so few pages.
    public init(partLength: UInt64, completeParts: Int) {
        self.partLength = partLength
        self.completeParts = completeParts
        monitor = Monitor(State(ledger: PartLedger(partLength: partLength)))
    }

    // MARK: The writing side

    public func expect(_ writes: [FileRange], unsettled: [FileRange]) throws(ImageError) {
        try converting { () throws(StoreError) in
            try monitor.withLock { (state) throws(StoreError) in
                if let failure = state.failure { throw failure }
                state.ledger.expect(writes)
                let settled = state.ledger.close(except: unsettled)
                state.release(settled, length: partLength)
            }
            monitor.wake()
        }
    }

    public func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try converting { () throws(StoreError) in
            var done = 0
            while done < data.count {
                let place = offset.bytes + UInt64(done)
                let part = Int(place / partLength)
                let inside = place % partLength
                let count = Int(min(UInt64(data.count - done), partLength - inside))
                try buffer(for: part).write(data.extracting(done..<done + count), at: Int(inside))
                complete(FileRange(place, length: UInt64(count)))
                done += count
            }
        }
    }

    public func write(metadata: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try write(data: metadata, at: offset)
    }

    public func finish(length: UInt64) throws(ImageError) {
        try converting { () throws(StoreError) in
            try monitor.withLock { (state) throws(StoreError) in
                if let failure = state.failure { throw failure }
                let settled = state.ledger.close(except: [FileRange(from: FileOffset(length))])
                state.release(settled, length: partLength)
                let last = Int(length / partLength)
                let rest = length % partLength
                if rest > 0 || last == 0 {
                    state.release(last, length: rest, isWholeObject: !state.wasAnyReady && last == 0)
                }
                precondition(state.filling.isEmpty, "bytes that were expected have not been written")
                state.isFinished = true
            }
            monitor.wake()
        }
    }

    /// Sends away everyone who waits or comes later, with an error.
    public func stop(_ error: StoreError) {
        monitor.withLock { state in
            if state.failure == nil { state.failure = error }
        }
        monitor.wake()
    }

    /// The buffer that a part is filled in; waits for room where it needs a new one.
    private func buffer(for part: Int) throws(StoreError) -> PartBuffer {
        try monitor.wait { (state) throws(StoreError) in
            if let failure = state.failure { throw failure }
            if let buffer = state.filling[part] { return buffer }
            guard state.completeInMemory < completeParts else { return nil }
            let buffer = try PartBuffer(length: Int(partLength))
            state.filling[part] = buffer
            return buffer
        }
    }

    private func complete(_ range: FileRange) {
        let wasReady = monitor.withLock { state in
            var parts: [Int] = []
            state.ledger.write(range) { parts.append($0) }
            for part in parts { state.release(part, length: partLength) }
            return !parts.isEmpty
        }
        if wasReady { monitor.wake() }
    }

    private func converting(_ body: () throws(StoreError) -> Void) throws(ImageError) {
        do throws(StoreError) { try body() } catch { throw error.imageError }
    }

    // MARK: The sending side

    /// Waits for a part that is complete, and hands it out.
    ///
    /// - Returns: nil when all have been handed out.
    /// - Throws: what `stop` was told.
    public func next() throws(StoreError) -> Part? {
        let part: Part?? = try monitor.wait { (state) throws(StoreError) in
            if let failure = state.failure { throw failure }
            if let part = state.takeReady(length: partLength) { return .some(part) }
            return state.isFinished ? .some(nil) : nil
        }
        return part ?? nil
    }

    /// Gives a part's memory back: it was sent.
    public func release(_ part: Part) {
        guard part.buffer != nil else { return }
        monitor.withLock { $0.completeInMemory -= 1 }
        monitor.wake()
    }
}

extension PartFillingSink.State {
    fileprivate mutating func release(_ settled: PartLedger.Settled, length: UInt64) {
        for part in settled.written { release(part, length: length) }
        guard !settled.zero.isEmpty else { return }
        readyZeros += settled.zero
        wasAnyReady = true
    }

    fileprivate mutating func release(_ part: Int, length: UInt64, isWholeObject: Bool = false) {
        let buffer = filling.removeValue(forKey: part)
        if buffer != nil { completeInMemory += 1 }
        ready.append(
            PartFillingSink.Part(number: part + 1, length: length, isWholeObject: isWholeObject, buffer: buffer))
        wasAnyReady = true
    }

    /// Parts in memory come before zeros, which take no room.
    fileprivate mutating func takeReady(length: UInt64) -> PartFillingSink.Part? {
        if firstReady < ready.count {
            let part = ready[firstReady]
            firstReady += 1
            if firstReady == ready.count {
                ready.removeAll(keepingCapacity: true)
                firstReady = 0
            }
            return part
        }
        guard let zeros = readyZeros.first else { return nil }
        if zeros.count == 1 { readyZeros.removeFirst() } else { readyZeros[0] = zeros.dropFirst() }
        return PartFillingSink.Part(number: zeros.lowerBound + 1, length: length, isWholeObject: false, buffer: nil)
    }
}
