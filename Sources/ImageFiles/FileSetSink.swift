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
    private let replacing: Bool

    /// - Parameters:
    ///   - path: of the file that is opened, the first.
    ///   - files: the first with the name of `path`; the others appear beside it.
    ///   - replacing: whether files that are there already are replaced.
    /// - Throws: `destination-exists`; `input-output`.
    public convenience init(path: String, files: [MemberFile], replacing: Bool) throws(ImageError) {
        try self.init(path: path, files: files, replacing: replacing, calls: .live)
    }

    package init(path: String, files: [MemberFile], replacing: Bool, calls: SystemCalls) throws(ImageError) {
        paths = Self.paths(path, files)
        names = files.map(\.name)
        starts = files.map(\.range.start.bytes)
        self.replacing = replacing
        var sinks: [FileSink] = []
        for path in paths { sinks.append(try FileSink(path: path, replacing: replacing, calls: calls)) }
        self.sinks = sinks
    }

    /// Where the files appear whose first has a path.
    public static func paths(_ path: String, _ files: [MemberFile]) -> [String] {
        let directory = path.lastIndex(of: "/").map { path[...$0] } ?? ""
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
    public func writtenFiles() throws(ImageError) -> WrittenFiles {
        var sources: [FileSource] = []
        for sink in sinks { sources.append(try sink.writtenSource()) }
        return WrittenFiles(sources, names: names)
    }

    /// Lets the files appear under their names.
    ///
    /// Where one can't, those that have appeared are removed again. With `replacing`, the files of the old image are set aside
    /// before, the first of them before the others, which would be no longer what it says; they come back where a file can't appear,
    /// and go when all have. What kills the process in between leaves them beside the destination as `.lathe-….kept`.
    ///
    /// - Throws: `destination-exists` where somebody else was there first; `input-output`.
    public func commit() throws(ImageError) {
        var staged: [String] = []
        var kept: [(sink: FileSink, name: String)] = []
        var appeared = 0
        do throws(ImageError) {
            // What can fail for want of room or of a permission mostly fails here, where nothing has changed yet.
            for sink in sinks { staged.append(try sink.staged()) }
            if replacing {
                for sink in sinks {
                    if let name = try sink.setAside() { kept.append((sink, name)) }
                }
            }
            for index in Array(sinks.indices.dropFirst()) + [0] {
                try sinks[index].appear(from: staged[index], replacing: false)
                appeared += 1
            }
        } catch {
            for name in staged { try? FileRemoval.remove(name) }
            for path in paths.dropFirst().prefix(appeared) { try? FileRemoval.remove(path) }
            throw Self.restoring(kept, error)
        }
        // The new image stands, which an error would deny: an old file that can't be removed stays as after a kill.
        for (_, name) in kept { try? FileRemoval.remove(name) }
    }

    /// Gives files that were set aside their names back, and answers the error with the names of those that couldn't have them.
    private static func restoring(_ kept: [(sink: FileSink, name: String)], _ error: ImageError) -> ImageError {
        var left: [String] = []
        for (sink, name) in kept.reversed() where sink.calls.rename(name, sink.path, false) != 0 {
            left.append("'\(sink.path)' is now '\(name)'")
        }
        guard !left.isEmpty else { return error }
        return ImageError(
            error.code, "\(error.message); of the image that was to be replaced, \(left.joined(separator: ", "))",
            path: error.path, offset: error.offset, operation: error.operation, systemError: error.systemError)
    }
}
