internal import ArgumentParser
internal import FoundationEssentials
internal import Glibc
internal import ImageFiles
internal import ImageModel

/// `--output`: for people or for programs.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case human, json
}

/// The only place that prints results.
enum Rendering {
    /// Prints a payload as JSON or as text on standard output.
    static func render(_ payload: some Encodable, as format: OutputFormat, human: () -> String) throws {
        try write(text(of: payload, as: format, human: human))
    }

    /// What `render` prints.
    static func text(of payload: some Encodable, as format: OutputFormat, human: () -> String) throws -> String {
        switch format {
        case .human: human() + "\n"
        case .json: try json(payload) + "\n"
        }
    }

    /// Sorted keys, so that the same result is the same text.
    static func json(_ payload: some Encodable, pretty: Bool = true) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = pretty ? [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes] : [.sortedKeys]
        // Within a string of JSON, where alone such a name can stand.
        return PathText.shown(String(decoding: try encoder.encode(payload), as: UTF8.self), backslash: "\\\\")
    }

    /// Prints a line on standard error.
    static func note(_ text: String) { write(toStandardError: text + "\n") }

    /// Prints on standard output.
    ///
    /// - Throws: `input-output`, so that half a result, or none, never passes for a whole one; `reader-gone`.
    static func write(_ text: String) throws(ImageError) {
        let number = write(text, to: STDOUT_FILENO)
        guard number != 0 else { return }
        let reason = unsafe String(cString: strerror(number))
        throw ImageError(
            number == EPIPE ? .readerGone : .inputOutput, "\(reason), so what was printed is not whole",
            path: "standard output", operation: "write", systemError: number)
    }

    /// Prints on standard error, where nobody can be told that it failed.
    static func write(toStandardError text: String) { _ = write(text, to: STDERR_FILENO) }

    /// Writes all of a text.
    ///
    /// - Returns: 0, or the error number.
    private static func write(_ text: String, to descriptor: Int32) -> Int32 {
        let bytes = Array(PathText.shown(text).utf8)
        var done = 0
        while done < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                guard let base = buffer.baseAddress else { return 0 }
                return unsafe Glibc.write(descriptor, base + done, buffer.count - done)
            }
            if count > 0 {
                done += count
            } else if count < 0, errno == EAGAIN {
                FileCalls.waitUntilWritable(descriptor)
            } else if count == 0 || errno != EINTR {
                return count == 0 ? EIO : errno
            }
        }
        return 0
    }

    static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(1, width - text.count))
    }
}
