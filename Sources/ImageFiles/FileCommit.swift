internal import Glibc
public import ImageModel

extension FileSink {
    /// Lets files that belong together appear under their names: all of them, or none.
    ///
    /// What says something of the others (a descriptor of its extents, a manifest of its image) comes behind them. So nobody sees it
    /// without them: where old files are replaced, the later ones are set aside first, and come last. The first keeps its name all
    /// the time. Where one can't appear, the old ones come back and the new ones go. What kills the process in between leaves old
    /// files beside the destination as `.lathe-….kept`.
    ///
    /// - Throws: `destination-exists` where somebody else was there first; `input-output`, of the last writes too.
    public static func commit(_ sinks: [FileSink]) throws(ImageError) {
        // What can fail for want of room or of a permission mostly fails here, where nothing has changed yet.
        for sink in sinks { try sink.settle() }
        var commit = FileCommit(sinks)
        try commit.run()
        // Files that belong together stand in one directory, or in two: a manifest may be elsewhere.
        var settled: Set<String> = []
        for sink in sinks where settled.insert(PathText.directory(of: sink.path)).inserted { try sink.settleName() }
    }
}

/// Files on their way to their names.
private struct FileCommit {
    private let sinks: [FileSink]
    /// The hidden name of each new file, until it has its own.
    private var staged: [String?] = []
    /// Where each old file went, and whether it has its own name as well.
    private var kept: [Int: (name: String, isNamed: Bool)] = [:]
    private var appeared: [Int] = []

    init(_ sinks: [FileSink]) { self.sinks = sinks }

    mutating func run() throws(ImageError) {
        do throws(ImageError) {
            for sink in sinks { staged.append(try sink.staged()) }
            // A single file takes the place of another in one step, and can't be half of anything.
            if sinks.count > 1 { try setOldAside() }
            for (index, sink) in sinks.enumerated() {
                guard let name = staged[index] else { continue }
                try sink.appear(
                    from: name, replacing: sink.replacing && (sinks.count == 1 || kept[index]?.isNamed == true))
                staged[index] = nil
                appeared.append(index)
            }
        } catch {
            throw undone(error)
        }
        // The new files stand, which an error would deny: an old one that can't be removed stays as after a kill.
        for (name, _) in kept.values { try? FileRemoval.remove(name) }
    }

    private mutating func setOldAside() throws(ImageError) {
        for (index, sink) in sinks.enumerated().reversed() where sink.replacing {
            try FileSink.requireFree(sink.path, replacing: true)
            let name = FileSink.temporaryName(beside: sink.path, ending: "kept")
            if index == 0, unsafe link(PathText.terminated(sink.path), PathText.terminated(name)) == 0 {
                kept[index] = (name, true)
            } else if sink.calls.rename(sink.path, name, false) == 0 {
                kept[index] = (name, false)
            } else if errno != ENOENT {
                throw systemError("rename", errno, path: sink.path)
            }
        }
    }

    /// Takes everything back, and answers the error with what could not be.
    private func undone(_ error: ImageError) -> ImageError {
        for name in staged { if let name { try? FileRemoval.remove(name) } }
        for index in appeared.reversed() where kept[index] == nil { try? FileRemoval.remove(sinks[index].path) }
        var left: [String] = []
        for (index, sink) in sinks.enumerated() {
            guard let (name, isNamed) = kept[index] else { continue }
            if isNamed, !appeared.contains(index) {
                try? FileRemoval.remove(name)
            } else if sink.calls.rename(name, sink.path, appeared.contains(index)) != 0 {
                left.append("'\(sink.path)' is now '\(name)'")
            }
        }
        guard !left.isEmpty else { return error }
        return ImageError(
            error.code, "\(error.message); of what was to be replaced, \(left.joined(separator: ", "))",
            path: error.path, offset: error.offset, operation: error.operation, systemError: error.systemError)
    }
}
