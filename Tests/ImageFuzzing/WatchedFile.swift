public import ImageModel
public import LatheTestSupport
import Synchronization

/// A file that notes what it is asked for: what an image can make its readers allocate and do.
public final class WatchedFile: ImageSource {
    /// No table is read in longer slices, and no compressed unit is longer, in bytes.
    static let longestRead: UInt64 = 16 << 20
    /// Bytes that one trial may read in all.
    static let mostBytes: UInt64 = 8 << 30

    private struct Tally: Sendable {
        var bytes: UInt64 = 0
        var violation: String?
    }

    public let name: String
    public let length: UInt64
    private let memory: SparseMemory
    private let tally = Mutex(Tally())

    public init(_ memory: SparseMemory) {
        self.memory = memory
        name = memory.name
        length = memory.length
    }

    /// What it was asked for and should not have been.
    public var violation: String? { tally.withLock { $0.violation } }

    public func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result)
        throws(ImageError)
        -> Result
    {
        try requireHeld(range)
        let isTooLong = tally.withLock { tally in
            tally.bytes += range.length
            if range.length > Self.longestRead {
                tally.violation = "\(range.length) bytes at \(range.start.bytes) were read at once"
            } else if tally.bytes > Self.mostBytes {
                tally.violation = "more than \(Self.mostBytes) bytes were read"
            }
            return tally.violation != nil
        }
        guard !isTooLong else { throw ImageError(.inputOutput, "the trial was stopped", path: name) }
        return try memory.withBytes(of: range, body)
    }

    public func nextData(from start: FileOffset, limit: FileOffset) throws(ImageError) -> FileRange? {
        try memory.nextData(from: start, limit: limit)
    }
}

/// Leads every name to one file, as a directory would in which an attacker has put what the image names.
struct OneReferencedFile: ReferencedFiles {
    let file: any ImageSource

    func open(_ name: String, namedBy image: String) throws(ImageError) -> any ImageSource {
        if let objection = ReferencedName.objection(to: name) {
            throw ImageError(.externalReference, "the name \(objection)", path: image)
        }
        return file
    }

    func search(
        ending: String, beside image: String, _ isWanted: (any ImageSource) throws(ImageError) -> Bool
    ) throws(ImageError) -> [any ImageSource] {
        (try? isWanted(file)) ?? false ? [file] : []
    }
}
