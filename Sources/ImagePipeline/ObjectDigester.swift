internal import ImageCodecs
internal import Synchronization

/// The digests of an object whose bytes come by in order, as on their way into a pipe.
public final class ObjectDigester: Sendable {
    private struct State {
        var plain: SHA256Digest?
        var tree: BlockTreeDigest?
    }

    private let state: Mutex<State>

    /// - Parameter selection: CRC-64 is not among what is computed here; the conversion has it.
    public init(_ selection: ChecksumSelection) {
        state = Mutex(
            State(
                plain: selection.contains(.sha256) ? SHA256Digest() : nil,
                tree: selection.contains(.sha256Tree) ? BlockTreeDigest() : nil))
    }

    public func update(_ bytes: Span<UInt8>) {
        state.withLock { state in
            state.plain?.update(bytes)
            state.tree?.update(bytes)
        }
    }

    /// What the bytes so far come to, beside a CRC-64 that is known.
    public func checksums(crc64ecma: UInt64) -> Checksums {
        state.withLock { state in
            Checksums(
                crc64ecma: crc64ecma, sha256: state.plain?.hexadecimal(), sha256Tree: state.tree?.hexadecimal())
        }
    }
}
