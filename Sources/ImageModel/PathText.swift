/// Names of files as text that gives their bytes back.
///
/// To Linux a path is bytes without a meaning: hosts with GBK or Latin-1 names have paths that are no UTF-8, and a name that is
/// decoded leniently leads to another file, or to none. So a path that comes from outside (an argument, a directory, the
/// environment, an image) becomes a `String` here, and goes to a system call by `bytes(of:)`; in between it is text as any other.
/// What is UTF-8 stays itself. Each byte that isn't stands as a scalar of its own, U+10FF80 to U+10FFFF, the last of the private
/// use planes; where a name really has one of those scalars, its bytes are kept in the same way. So no two names have one text,
/// and every text from here has its one name (the idea is that of Python's PEP 383).
public enum PathText {
    /// U+10FF00: a byte that is not UTF-8 is so much less than the scalar that stands for it.
    private static let base: UInt32 = 0x10FF00
    private static let kept: ClosedRange<UInt32> = 0x10FF80...0x10FFFF

    /// The text of a path's bytes, which have no NUL.
    public static func text(of bytes: some Sequence<UInt8>) -> String {
        let bytes = Array(bytes)
        if let text = String(validating: bytes, as: UTF8.self), !isEscaped(text) { return text }
        var text = String.UnicodeScalarView()
        var rest = bytes[...]
        while let first = rest.first {
            let length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
            if let one = String(validating: rest.prefix(length), as: UTF8.self)?.unicodeScalars.first,
                !kept.contains(one.value)
            {
                text.append(one)
                rest = rest.dropFirst(length)
            } else {
                // All bytes below 0x80 are UTF-8.
                if let scalar = Unicode.Scalar(base + UInt32(first)) { text.append(scalar) }
                rest = rest.dropFirst()
            }
        }
        return String(text)
    }

    /// The text of a C string.
    public static func text(of pointer: UnsafePointer<CChar>) -> String {
        var bytes: [UInt8] = []
        var next = unsafe pointer
        while unsafe next.pointee != 0 {
            bytes.append(UInt8(bitPattern: unsafe next.pointee))
            unsafe next += 1
        }
        return text(of: bytes)
    }

    /// The bytes that a text stands for.
    public static func bytes(of text: String) -> [UInt8] {
        guard isEscaped(text) else { return Array(text.utf8) }
        var bytes: [UInt8] = []
        for scalar in text.unicodeScalars {
            if kept.contains(scalar.value) {
                bytes.append(UInt8(scalar.value - base))
            } else {
                bytes += String(scalar).utf8
            }
        }
        return bytes
    }

    /// The same for a system call: with a NUL behind them.
    public static func terminated(_ text: String) -> [CChar] { bytes(of: text).map { CChar(bitPattern: $0) } + [0] }

    /// Whether a text stands for bytes that are not its own UTF-8.
    public static func isEscaped(_ text: String) -> Bool {
        // Of these scalars, all begin with the byte F4, which hardly any other name has.
        text.utf8.contains(0xF4) && text.unicodeScalars.contains { kept.contains($0.value) }
    }

    /// A text for people: bytes that are not UTF-8 as `\xC4`.
    ///
    /// - Parameter backslash: what stands for one.
    public static func shown(_ text: String, backslash: String = "\\") -> String {
        guard isEscaped(text) else { return text }
        var shown = ""
        for scalar in text.unicodeScalars {
            if kept.contains(scalar.value) {
                shown += backslash + "x" + String(scalar.value - base, radix: 16, uppercase: true)
            } else {
                shown.unicodeScalars.append(scalar)
            }
        }
        return shown
    }

    // MARK: Parts of a path

    // Slashes are looked for among the bytes: as a character, one with a combining mark behind it is none.

    /// What stands behind the last '/'.
    public static func lastComponent(_ path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return path }
        return String(path[path.utf8.index(after: slash)...])
    }

    /// The last component without its last extension; a dot at its start begins none.
    public static func stem(of path: String) -> String {
        let name = lastComponent(path)
        guard let dot = name.utf8.lastIndex(of: UInt8(ascii: ".")), dot != name.utf8.startIndex else { return name }
        return String(name[..<dot])
    }

    /// The directory that a path's last component is in; `.` for a name alone.
    public static func directory(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return slash == path.utf8.startIndex ? "/" : String(path[..<slash])
    }

    /// A name in a directory.
    public static func join(_ directory: String, _ name: String) -> String {
        directory.isEmpty ? name : directory.utf8.last == UInt8(ascii: "/") ? directory + name : "\(directory)/\(name)"
    }
}
