import ImageFormats
import ImageModel

/// A run of guest bytes that is stored as it is.
struct StoredRun: Hashable, Sendable {
    var file: FileRange
    var guest: GuestOffset
}

/// Which guest bytes stand where in a file, in the order of the file: the mapping of a whole disk, turned around.
///
/// With it, one pass over the file in its own order serves both the object's checksums and the content's.
struct StoredRuns: Sendable {
    /// A disk in more pieces is read in two passes: an index of it would take more than 24 MiB.
    private static let mostRuns = 1 << 20

    private let runs: [StoredRun]

    /// - Returns: nil for a disk with compressed units, with bytes that stand for two guest ranges at once, or in too many
    ///   pieces.
    /// - Throws: what the reader throws.
    init?(of image: DiskImage) throws(ImageError) {
        var runs: [StoredRun] = []
        var walk = MappingWalk(image)
        while let extent = try walk.next() {
            switch extent.mapping {
            case .zero, .hole: continue
            case .compressed: return nil
            case .raw(let offset):
                let run = StoredRun(
                    file: FileRange(start: offset, length: extent.range.length), guest: extent.range.start)
                if !Self.extend(&runs, with: run) { runs.append(run) }
                if runs.count > Self.mostRuns { return nil }
            }
        }
        runs.sort { $0.file.start < $1.file.start }
        for (run, next) in zip(runs, runs.dropFirst()) where run.file.end > next.file.start { return nil }
        self.runs = runs
    }

    /// Hands out a file range piece by piece, each wholly in a run or in none.
    func forEachPiece(of range: FileRange, _ body: (FileRange, GuestOffset?) -> Void) {
        var start = range.start
        var index = firstIndex(endingBehind: start)
        while start < range.end {
            guard index < runs.count, runs[index].file.start < range.end else {
                body(FileRange(start: start, length: range.end - start), nil)
                return
            }
            let run = runs[index]
            if start < run.file.start {
                body(FileRange(start: start, length: run.file.start - start), nil)
                start = run.file.start
            }
            let end = min(run.file.end, range.end)
            body(FileRange(start: start, length: end - start), run.guest + (start - run.file.start))
            start = end
            index += 1
        }
    }

    private func firstIndex(endingBehind offset: FileOffset) -> Int {
        var range = 0..<runs.count
        while !range.isEmpty {
            let middle = range.lowerBound + range.count / 2
            range = runs[middle].file.end <= offset ? middle + 1..<range.upperBound : range.lowerBound..<middle
        }
        return range.lowerBound
    }

    private static func extend(_ runs: inout [StoredRun], with run: StoredRun) -> Bool {
        guard let last = runs.indices.last, runs[last].file.end == run.file.start,
            runs[last].guest + runs[last].file.length == run.guest
        else { return false }
        runs[last].file.length += run.file.length
        return true
    }
}
