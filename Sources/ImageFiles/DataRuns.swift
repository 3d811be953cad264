internal import CImageKernels
internal import Glibc

/// Where a file has data, as its file system tells it (`lseek(2)` with `SEEK_DATA` and `SEEK_HOLE`).
///
/// File systems of programs (FUSE) may answer anything: data that begins before the place that was asked for, a hole that begins
/// where the data does, or no data where there is no hole either. Such answers say nothing, and then all is data; so whoever walks from run to run always comes further.
package struct DataRuns: Sendable {
    /// `SEEK_DATA` of a descriptor from an offset: where data begins, or -1 with `errno`, `ENXIO` where there is none.
    package var data: @Sendable (Int32, UInt64) -> Int64
    /// `SEEK_HOLE`.
    package var hole: @Sendable (Int32, UInt64) -> Int64

    package init(
        data: @escaping @Sendable (Int32, UInt64) -> Int64, hole: @escaping @Sendable (Int32, UInt64) -> Int64
    ) {
        self.data = data
        self.hole = hole
    }

    /// The kernel's own.
    package static let live = DataRuns(
        data: { Int64(lseek($0, off_t(clamping: $1), lathe_SEEK_DATA)) },
        hole: { Int64(lseek($0, off_t(clamping: $1), lathe_SEEK_HOLE)) })

    /// The first run at or behind `start` that may hold something other than zeros, as far as `limit`; never empty.
    ///
    /// - Parameter start: less than `limit`.
    /// - Returns: nil where there is none.
    package func next(_ descriptor: Int32, from start: UInt64, limit: UInt64) -> Range<UInt64>? {
        let data = data(descriptor, start)
        guard data >= 0 || errno == ENXIO else { return start..<limit }
        let begin = data < 0 ? limit : UInt64(data)
        guard begin >= start else { return start..<limit }
        // What is no data is a hole, and a hole that is asked for from its inside begins there.
        guard begin == start || hole(descriptor, start) <= Int64(clamping: start) else { return start..<limit }
        guard begin < limit else { return nil }
        let hole = hole(descriptor, begin)
        guard hole >= 0 else { return begin..<limit }
        let end = UInt64(hole)
        return end > begin ? begin..<min(limit, end) : start..<limit
    }
}
