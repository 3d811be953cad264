import Foundation
import Glibc
import ImageFiles
import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import Synchronization

/// A directory of a test's own, gone with its owner.
final class TemporaryDirectory: Sendable {
    let path: String

    /// - Parameter parent: where it is made; the directory for temporary files unless a test wants another file system.
    init(in parent: String = NSTemporaryDirectory()) throws {
        path = (parent as NSString).appendingPathComponent("lathe-tests-\(UUID().uuidString)")
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Makes a file and answers its path.
    func file(_ name: String, holding bytes: [UInt8]) throws -> String {
        try Data(bytes).write(to: URL(filePath: file(name)))
        return file(name)
    }

    /// Every name in it, hidden ones too.
    var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? ["?"]).sorted() }
}

func contents(of path: String) throws -> [UInt8] { try [UInt8](Data(contentsOf: URL(filePath: path))) }

/// A descriptor for a test to change a file with.
func withDescriptor<Result>(_ path: String, _ flags: Int32 = O_RDWR, _ body: (Int32) throws -> Result) throws -> Result
{
    let descriptor = unsafe open(path, flags | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
    defer { close(descriptor) }
    return try body(descriptor)
}

/// Writes a span of an array through a sink.
extension ImageSink {
    func write(_ bytes: [UInt8], at offset: UInt64) throws(ImageError) {
        try write(data: bytes.span, at: FileOffset(offset))
    }
}

/// A number that threads count up together.
final class Counter: Sendable {
    private let value = Mutex(0)

    /// The number before it grows by one.
    func next() -> Int {
        value.withLock { value in
            value += 1
            return value - 1
        }
    }

    var count: Int { value.withLock { $0 } }
}

/// What becomes of one system call.
enum Fault: Hashable, Sendable {
    case none
    /// It fails with this error number.
    case error(Int32)
    /// It takes so many bytes at most.
    case short(Int)
}

extension SystemCalls {
    /// The kernel's calls, in which some fail: `write` is asked about the n-th write and its length.
    static func faulty(
        write: @escaping @Sendable (_ number: Int, _ length: Int) -> Fault = { _, _ in .none }, ftruncate: Int32? = nil,
        rename: Int32? = nil, fsync: Int32? = nil, close: Int32? = nil, counter: Counter = Counter()
    ) -> SystemCalls {
        let live = SystemCalls.live
        return unsafe SystemCalls(
            pwrite: { descriptor, bytes, count, offset in
                switch write(counter.next(), count) {
                case .none: return unsafe live.pwrite(descriptor, bytes, count, offset)
                case .short(let most): return unsafe live.pwrite(descriptor, bytes, min(most, count), offset)
                case .error(let number):
                    errno = number
                    return -1
                }
            },
            write: { descriptor, bytes, count in
                switch write(counter.next(), count) {
                case .none: return unsafe live.write(descriptor, bytes, count)
                case .short(let most): return unsafe live.write(descriptor, bytes, min(most, count))
                case .error(let number):
                    errno = number
                    return -1
                }
            },
            ftruncate: { descriptor, length in
                guard let ftruncate else { return live.ftruncate(descriptor, length) }
                errno = ftruncate
                return -1
            },
            rename: { from, to, replacing in
                guard let rename else { return live.rename(from, to, replacing) }
                errno = rename
                return -1
            },
            fsync: { descriptor in
                guard let fsync else { return live.fsync(descriptor) }
                errno = fsync
                return -1
            },
            close: { descriptor in
                let status = live.close(descriptor)
                guard let close else { return status }
                errno = close
                return -1
            })
    }
}

/// A conversion of a small disk to a layout.
func conversion(of content: [UInt8], to variant: OutputVariant, threads: Int = 2) throws -> Conversion {
    Conversion(
        try DiskImage(SparseMemory(content), format: .raw), to: variant.format, options: FormatOptions(variant.options),
        work: WorkOptions(threads: threads, chunkSize: 256 << 10))
}

/// What a conversion must write: the bytes that it makes in memory.
func expectedBytes(of content: [UInt8], _ variant: OutputVariant) throws -> [UInt8] {
    let sink = MemorySink()
    _ = try conversion(of: content, to: variant).run(into: sink)
    return sink.bytes
}
