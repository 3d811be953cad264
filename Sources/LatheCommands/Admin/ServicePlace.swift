internal import ArgumentParser
internal import ExportService
internal import FoundationEssentials
internal import Glibc
internal import ImageFiles
internal import ImageModel

/// What every verb takes that works on the service's state.
struct ServicePlace: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The data directory of the service. (default: $XDG_DATA_HOME/lathe/service, or ~/.local/share/lathe/service)",
            valueName: "dir"), completion: .directory)
    var dataDirectory: String?

    @Option(help: "For people or for programs.")
    var output: OutputFormat = .human

    /// Opens the state.
    ///
    /// - Parameter making: whether it is made where it is not there.
    func state(making: Bool = false) throws -> ServiceState {
        try ServiceState(directory: dataDirectory ?? StateDirectory.servicePath(), makesDirectory: making)
    }

    /// Prints a list: as JSON, or a line for each, under a line that says what is what.
    func render<Item: Encodable>(_ items: [Item], _ columns: [String], _ cells: (Item) -> [String]) throws {
        try Rendering.render(items, as: output) { TextTable(columns, items.map(cells)).text }
    }

    /// Prints one thing: as JSON, or a line for each part of it.
    func render(_ item: some Encodable, _ lines: [(String, String?)]) throws {
        try Rendering.render(item, as: output) {
            lines.compactMap { name, value in value.map { "\(name): \($0)" } }.joined(separator: "\n")
        }
    }
}

extension ServicePlace {
    /// Prints what holds a secret that is shown once, in the midst of what makes it.
    ///
    /// - Throws: `unavailable`, upon which nothing is made.
    func announce(_ print: () throws -> Void) throws(StateError) {
        do { try print() } catch {
            throw StateError(
                .unavailable, "a secret is shown this once, and it could not be; nothing was made (\(error))")
        }
    }
}

/// Runs the body of a verb that works on the service's state: an error becomes a line and an exit code.
func runOnState(_ body: () throws -> Void) throws {
    do {
        try body()
    } catch let error as StateError {
        Rendering.note("lathe: \(error)")
        throw ExitStatus.failure
    } catch let error as ImageError {
        throw ExitStatus.ending(with: error)
    }
}

/// Columns of texts, each as wide as its widest.
struct TextTable {
    private let rows: [[String]]

    init(_ columns: [String], _ rows: [[String]]) { self.rows = [columns] + rows }

    var text: String {
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let cells = row.enumerated().map { column, cell in
                column == row.count - 1 ? cell : Rendering.padded(cell, widths[column] + 2)
            }
            return cells.joined()
        }.joined(separator: "\n")
    }
}

/// A small file, or standard input for `-`.
enum SmallFile {
    static let greatestLength = 4 << 20

    /// - Throws: `input-output`; `limit-exceeded`; `corrupt` where it is not UTF-8.
    static func read(_ path: String) throws(ImageError) -> String {
        let name = path == "-" ? "standard input" : path
        let descriptor = path == "-" ? STDIN_FILENO : unsafe open(PathText.terminated(path), O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(name, "open") }
        defer { if path != "-" { close(descriptor) } }
        if path != "-" { CommandFiles.inUse.noteRead(path: path, "a file that this command reads") }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count == 0 { break }
            guard count > 0 else {
                if errno == EINTR { continue }
                if errno == EAGAIN {
                    FileCalls.waitUntilReadable(descriptor)
                    continue
                }
                throw failure(name, "read")
            }
            bytes += buffer[..<count]
            guard bytes.count <= greatestLength else {
                throw ImageError(.limitExceeded, "the file has more than \(greatestLength) bytes", path: name)
            }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ImageError(.corrupt, "the file is not UTF-8", path: name)
        }
        return text
    }

    /// A secret: the one line that stands in the file.
    static func secret(_ path: String) throws(ImageError) -> String {
        let text = try read(path)
        return String(text.last?.isNewline ?? false ? text.dropLast() : text[...])
    }

    private static func failure(_ path: String, _ operation: String) -> ImageError {
        ImageError(
            .inputOutput, "the file can't be read: \(unsafe String(cString: strerror(errno)))", path: path,
            operation: operation, systemError: errno)
    }
}
