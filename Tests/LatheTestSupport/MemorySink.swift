public import ImageModel
internal import Synchronization

/// A sink in memory that remembers every write, and refuses to take a byte twice.
public final class MemorySink: MemberFilesSink {
    /// One write.
    public struct Operation: Hashable, Sendable {
        public enum Kind: Hashable, Sendable { case data, metadata, clone }
        public var kind: Kind
        public var offset: UInt64
        public var length: Int
    }

    private struct State {
        var memory = SparseMemory(name: "written image")
        var operations: [Operation] = []
        var finishedLength: UInt64?
        var files: [MemberFile] = []
        var askedClones = 0
    }

    public let isSequential: Bool
    private let state = Mutex(State())
    private let blockSize: UInt64?
    private let acceptedClones: Int
    private let failure: @Sendable (Int) -> ImageError?

    /// - Parameters:
    ///   - blockSize: in which it clones from any source; nil where it can't.
    ///   - acceptedClones: so many clones are made, and the others refused.
    ///   - failure: asked before each write with the number of the writes so far; what it answers is thrown.
    public init(
        isSequential: Bool = false, cloningIn blockSize: UInt64? = nil, acceptedClones: Int = .max,
        failure: @escaping @Sendable (Int) -> ImageError? = { _ in nil }
    ) {
        self.isSequential = isSequential
        self.blockSize = blockSize
        self.acceptedClones = acceptedClones
        self.failure = failure
    }

    /// What has been written, at its full length once the image is finished.
    public var memory: SparseMemory { state.withLock { $0.memory } }
    /// Every write, in the order of arrival.
    public var operations: [Operation] { state.withLock { $0.operations } }
    /// Every clone, in the order of arrival.
    public var clones: [Operation] { operations.filter { $0.kind == .clone } }
    /// The length that `finish` was told.
    public var finishedLength: UInt64? { state.withLock { $0.finishedLength } }

    /// Every byte, as a file would have it.
    public var bytes: [UInt8] { state.withLock { $0.memory[0..<$0.memory.length] } }

    public func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError) { try take(data, offset, .data) }

    public func write(metadata: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try take(metadata, offset, .metadata)
    }

    public func cloning(of source: any ImageSource) -> CloningSupport {
        blockSize.map { .blocks(of: $0) } ?? .unavailable("memory is not asked to clone")
    }

    public func clone(_ range: FileRange, of source: any ImageSource, to offset: FileOffset) throws(ImageError) -> Bool
    {
        let number = state.withLock {
            $0.askedClones += 1
            return $0.askedClones
        }
        guard let blockSize, number <= acceptedClones else { return false }
        guard [range.start.bytes, range.length, offset.bytes].allSatisfy({ $0 % blockSize == 0 }), range.length > 0
        else { throw ImageError(.inputOutput, "a clone of \(range) to \(offset) is not in whole blocks") }
        let bytes = try source.withBytes(of: range) { (bytes) throws(ImageError) in
            unsafe bytes.withUnsafeBufferPointer { unsafe Array($0) }
        }
        try take(bytes.span, offset, .clone)
        return true
    }

    public func finish(length: UInt64) throws(ImageError) {
        state.withLock {
            $0.memory.truncate(to: length)
            $0.finishedLength = length
        }
    }

    public func finish(files: [MemberFile]) throws(ImageError) {
        state.withLock { $0.files = files }
        try finish(length: files.last?.range.end.bytes ?? 0)
    }

    /// The files of an image of several, each by itself.
    public var files: [SparseMemory] {
        state.withLock { state in state.files.map { state.memory.file($0) } }
    }

    private func take(_ bytes: Span<UInt8>, _ offset: FileOffset, _ kind: Operation.Kind) throws(ImageError) {
        let copy = unsafe bytes.withUnsafeBufferPointer { unsafe Array($0) }
        let number = state.withLock { $0.operations.count }
        if let error = failure(number) { throw error }
        state.withLock {
            $0.memory.write(copy, at: offset.bytes)
            $0.operations.append(Operation(kind: kind, offset: offset.bytes, length: copy.count))
        }
    }

    /// Whether any two writes share a byte.
    public var hasOverlap: Bool {
        let sorted = operations.sorted { $0.offset < $1.offset }
        return zip(sorted, sorted.dropFirst()).contains { $0.offset + UInt64($0.length) > $1.offset }
    }
}
