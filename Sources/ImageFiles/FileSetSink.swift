internal import Glibc
public import ImageModel

/// Several destination files in one directory that appear under their names whole or not at all, the one that is opened last.
///
/// So nobody sees a descriptor without its extents. Each is a `FileSink`: what a killed process leaves is said there.
public final class FileSetSink: MemberFilesSink {
    public let isSequential = false
    /// In the order of the files.
    public let paths: [String]

    private let sinks: [FileSink]
    private let names: [String]
    /// Where each file begins in the address space of all.
    private let starts: [UInt64]

    /// - Parameters:
    ///   - path: of the file that is opened, the first.
    ///   - files: the first with the name of `path`; the others appear beside it.
    ///   - replacing: whether files that are there already are replaced.
    ///   - flushing: as `FileSink` has it.
    /// - Throws: `destination-exists`; `input-output`.
    public convenience init(
        path: String, files: [MemberFile], replacing: Bool, flushing: Bool = true
    ) throws(ImageError) {
        try self.init(path: path, files: files, replacing: replacing, flushing: flushing, calls: .live)
    }

    package init(
        path: String, files: [MemberFile], replacing: Bool, flushing: Bool = true, calls: SystemCalls
    ) throws(ImageError) {
        paths = Self.paths(path, files)
        names = files.map(\.name)
        starts = files.map(\.range.start.bytes)
        var sinks: [FileSink] = []
        for path in paths {
            sinks.append(try FileSink(path: path, replacing: replacing, flushing: flushing, calls: calls))
        }
        self.sinks = sinks
    }

    /// Where the files appear whose first has a path.
    public static func paths(_ path: String, _ files: [MemberFile]) -> [String] {
        let directory = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { path[...$0] } ?? ""
        return [path] + files.dropFirst().map { directory + $0.name }
    }

    /// The file that has an offset, and where in it that is.
    private func place(of offset: FileOffset) -> (sink: FileSink, offset: FileOffset) {
        var (low, high) = (0, starts.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if starts[middle] <= offset.bytes { low = middle } else { high = middle }
        }
        return (sinks[low], FileOffset(offset.bytes - starts[low]))
    }

    /// As `FileSink.limitAccess(toThatOf:)` has it.
    public func limitAccess(toThatOf sources: [any ImageSource]) throws(ImageError) {
        for sink in sinks { try sink.limitAccess(toThatOf: sources) }
    }

    // No two files touch, so no write reaches from one into the next.

    public func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        let place = place(of: offset)
        try place.sink.write(data: data, at: place.offset)
    }

    public func write(metadata: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        let place = place(of: offset)
        try place.sink.write(metadata: metadata, at: place.offset)
    }

    public func cloning(of source: any ImageSource) -> CloningSupport {
        // The data go into the files behind the first; all are in one directory.
        (sinks.last ?? sinks[0]).cloning(of: source)
    }

    public func clone(_ range: FileRange, of source: any ImageSource, to offset: FileOffset) throws(ImageError) -> Bool
    {
        let place = place(of: offset)
        return try place.sink.clone(range, of: source, to: place.offset)
    }

    public func finish(length: UInt64) throws(ImageError) {
        throw ImageError(.unsupported, "an image of one file was written where several were expected", path: paths[0])
    }

    public func finish(files: [MemberFile]) throws(ImageError) {
        for (sink, file) in zip(sinks, files) { try sink.finish(length: file.range.length) }
    }

    /// What has been written so far, for reading it back.
    ///
    /// - Parameter fromDisk: as `FileSink.writtenSource(fromDisk:)` has it.
    public func writtenFiles(fromDisk: Bool = false) throws(ImageError) -> WrittenFiles {
        var sources: [FileSource] = []
        for sink in sinks { sources.append(try sink.writtenSource(fromDisk: fromDisk)) }
        return WrittenFiles(sources, names: names)
    }

    /// Its files, in the order in which they appear (`FileSink.commit(_:)`): the one that is opened last.
    public var filesInOrder: [FileSink] { Array(sinks.dropFirst() + sinks.prefix(1)) }

    /// Lets the files appear under their names, all of them or none.
    ///
    /// - Throws: as `FileSink.commit(_:)`.
    public func commit() throws(ImageError) { try FileSink.commit(filesInOrder) }
}
