internal import Glibc
public import ImageModel

/// Memory for buffers, asked for before it is taken: Swift ends the process where an array gets none.
public enum AvailableMemory {
    /// Refuses where the system would not give so much (`ulimit -v`, or a machine that does not promise more than it has).
    ///
    /// It is given back at once, so another thread may have it in between: twice as much is asked for.
    ///
    /// - Parameter bytes: how many are about to be taken.
    /// - Throws: `limit-exceeded`.
    public static func require(_ bytes: Int) throws(ImageError) {
        let (wanted, overflow) = max(1, bytes).multipliedReportingOverflow(by: 2)
        guard !overflow, let block = unsafe malloc(wanted) else {
            throw ImageError(
                .limitExceeded,
                "the system does not give \(bytes) more bytes of memory; take fewer threads (--threads), or raise the limit (ulimit -v)"
            )
        }
        unsafe free(block)
    }
}
