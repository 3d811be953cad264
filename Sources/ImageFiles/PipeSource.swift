public import ImageModel
internal import Synchronization

/// A pipe that is read once, from its start to its end, with nothing kept of it but what nobody has taken yet.
///
/// `nextData` reads on, so whoever asks for data in ascending order, and takes each piece before many more, has the whole pipe in
/// little memory. The length is known once the end has come: up to then it is the most that it may be.
public final class PipeSource: ImageSource {
    /// What is read at once: a chunk of the pipeline, in bytes.
    private static let blockLength = 2 << 20

    private struct Block {
        var range: FileRange
        var bytes: [UInt8]
        /// How many of the bytes have been taken.
        var taken: UInt64 = 0
    }

    private struct State {
        /// Read and not taken, in ascending order.
        var blocks: [Block] = []
        /// Blocks that were taken, to be filled again: a new one costs its page faults.
        var spare: [[UInt8]] = []
        /// How far the pipe has been read.
        var end: UInt64 = 0
        var hasEnded = false
    }

    public let name: String
    private let greatestLength: UInt64
    private let input: PipeInput
    private let goOn: @Sendable () throws(ImageError) -> Void
    private let state = Mutex(State())
    /// Held by who reads from the pipe.
    private let reading = SleepingLock()
    private let isAbandoned = Atomic(false)

    /// - Parameters:
    ///   - descriptor: stays the caller's.
    ///   - greatestLength: in bytes; a pipe that has more is refused.
    ///   - goOn: asked before each read, and several times a second while nothing comes; what it throws ends the reading.
    public init(
        _ descriptor: Int32, name: String, greatestLength: UInt64,
        goOn: @escaping @Sendable () throws(ImageError) -> Void
    ) {
        self.name = name
        self.greatestLength = greatestLength
        input = PipeInput(descriptor: descriptor, name: name)
        self.goOn = goOn
    }

    public var length: UInt64 { state.withLock { $0.hasEnded ? $0.end : greatestLength } }
    public var isLengthKnown: Bool { state.withLock { $0.hasEnded } }

    /// What has come of the pipe from an offset on; waits for it.
    ///
    /// - Throws: `input-output`; `truncated` for a pipe without a byte; `limit-exceeded` for one longer than it may be.
    public func nextData(from start: FileOffset, limit: FileOffset) throws(ImageError) -> FileRange? {
        try reading.withLock { () throws(ImageError) in
            while true {
                let (end, hasEnded) = state.withLock { ($0.end, $0.hasEnded) }
                if start.bytes < end { return FileRange(start: start, length: min(end, limit.bytes) - start.bytes) }
                if hasEnded || start >= limit { return nil }
                try readBlock(at: end)
            }
        }
    }

    public func abandon() { isAbandoned.store(true, ordering: .relaxed) }

    private func readBlock(at start: UInt64) throws(ImageError) {
        var bytes = state.withLock { $0.spare.popLast() } ?? [UInt8](repeating: 0, count: Self.blockLength)
        let filled = try input.fill(&bytes) { () throws(ImageError) in
            guard !isAbandoned.load(ordering: .relaxed) else {
                throw ImageError(.cancelled, "nobody wants the rest of the pipe", path: name)
            }
            try goOn()
        }
        let count = UInt64(filled)
        guard count > 0 || start > 0 else { throw input.emptiness }
        guard count <= greatestLength - start else {
            throw ImageError(
                .limitExceeded, "more than the \(greatestLength) bytes came that a disk can have", path: name,
                offset: FileOffset(start))
        }
        let block = Block(range: FileRange(start, length: count), bytes: bytes)
        state.withLock { state in
            state.end = start + count
            state.hasEnded = count < UInt64(Self.blockLength)
            if count > 0 { state.blocks.append(block) }
        }
    }

    /// Takes the bytes, each of which can be had once.
    public func read(_ range: FileRange, into buffer: inout [UInt8], at index: Int) throws(ImageError) {
        try requireHeld(range)
        var position = range.start
        while position < range.end {
            let place = index + Int(position - range.start)
            position = position + (try take(from: position, upTo: range.end, into: &buffer, at: place))
        }
    }

    /// - Returns: how many bytes were taken, from one block.
    private func take(
        from start: FileOffset, upTo end: FileOffset, into buffer: inout [UInt8], at index: Int
    ) throws(ImageError) -> UInt64 {
        guard let block = takenBlock(from: start, upTo: end) else {
            throw ImageError(
                .unsupported,
                "a pipe can't go back to what was read of it, nor forward to what was not; save it to a file first",
                path: name, offset: start)
        }
        let first = Int(start - block.range.start)
        let count = min(end, block.range.end) - start
        unsafe buffer.withUnsafeMutableBytes { target in
            unsafe block.bytes.withUnsafeBytes { source in
                let bytes = unsafe UnsafeRawBufferPointer(rebasing: source[first..<first + Int(count)])
                let room = unsafe UnsafeMutableRawBufferPointer(rebasing: target[index..<index + bytes.count])
                unsafe room.copyMemory(from: bytes)
            }
        }
        if block.taken == block.range.length { state.withLock { $0.spare.append(block.bytes) } }
        return count
    }

    /// The block that has an offset, with what is taken of it now counted; nil where there is none.
    private func takenBlock(from start: FileOffset, upTo end: FileOffset) -> Block? {
        state.withLock { state in
            guard let number = state.blocks.firstIndex(where: { $0.range.start <= start && start < $0.range.end })
            else { return nil }
            var block = state.blocks[number]
            block.taken += min(end, block.range.end) - start
            if block.taken < block.range.length {
                state.blocks[number].taken = block.taken
            } else {
                state.blocks.remove(at: number)
            }
            return block
        }
    }

    public func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result)
        throws(ImageError) -> Result
    {
        try requireHeld(range)
        var bytes = [UInt8](repeating: 0, count: Int(range.length))
        try read(range, into: &bytes, at: 0)
        return try body(bytes.span)
    }
}
