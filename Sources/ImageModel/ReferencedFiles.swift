/// Opens the files that an image names: a backing file, a data file, extents.
///
/// An image may name any file of the machine that reads it. So nothing is opened unless the user says where.
public protocol ReferencedFiles: Sendable {
    /// Opens a file for reading.
    ///
    /// - Parameters:
    ///   - name: as the image has it, with `/` between directories; it is not trusted.
    ///   - image: what the source of the image that names it is called.
    /// - Throws: `external-reference` where the file may not be opened; `input-output` where it can't be.
    func open(_ name: String, namedBy image: String) throws(ImageError) -> any ImageSource

    /// Looks for files of which an image says only what is in them, beside the image and nowhere deeper.
    ///
    /// - Parameters:
    ///   - ending: what their names end with, in lower or upper case.
    ///   - isWanted: looks into a file; one for which it throws is passed over.
    /// - Returns: those that are wanted, in the order of their names.
    /// - Throws: `external-reference` where none may be opened; `limit-exceeded` where there are too many to look at.
    func search(
        ending: String, beside image: String, _ isWanted: (any ImageSource) throws(ImageError) -> Bool
    ) throws(ImageError) -> [any ImageSource]
}

/// Opens nothing.
public struct NoReferencedFiles: ReferencedFiles {
    public init() {}

    public func open(_ name: String, namedBy image: String) throws(ImageError) -> any ImageSource {
        throw Self.refusal("it names '\(ReferencedName.shown(name))'", image)
    }

    public func search(
        ending: String, beside image: String, _ isWanted: (any ImageSource) throws(ImageError) -> Bool
    ) throws(ImageError) -> [any ImageSource] {
        throw Self.refusal("it does not say which file that is, only what is in it", image)
    }

    private static func refusal(_ what: String, _ image: String) -> ImageError {
        ImageError(
            .externalReference,
            "\(what), and Lathe opens no file that an image names unless '--allow-backing DIR' (of convert, export, compare, "
                + "map and verify) says beneath which directory",
            path: image)
    }
}

/// The name of a file as an image has it.
public enum ReferencedName {
    /// QEMU's bound on the name of a backing file, in bytes.
    public static let maximumLength = 1023

    /// Why a name may not be followed, whatever file it would lead to; nil for a relative path that goes down only.
    ///
    /// Programs that open names of images take some for more than paths: `nbd:`, `json:` and their like make QEMU connect, or
    /// write (CVE-2024-4467); an absolute path or one with `..` leads to files of the machine's owner (CVE-2024-32498).
    public static func objection(to name: String) -> String? {
        guard !name.isEmpty else { return "is empty" }
        guard name.utf8.count <= maximumLength else {
            return "has \(name.utf8.count) bytes, more than the \(maximumLength) that a name may have"
        }
        guard name.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7F && $0.value != 0xFFFD }) else {
            return "has characters that no name has"
        }
        guard !name.hasPrefix("/") else { return "is an absolute path" }
        guard !name.utf8.contains(UInt8(ascii: "\\")) else { return "has a backslash" }
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        guard !parts.contains("..") else { return "leads up by '..'" }
        guard parts.last != "", parts.last != "." else { return "is that of a directory" }
        guard !(parts.first ?? "").utf8.contains(UInt8(ascii: ":")) else {
            return "begins with '\(parts[0].prefix { $0 != ":" }):', as names of protocols do"
        }
        return nil
    }

    /// Refuses a name that may not be followed.
    ///
    /// - Parameter place: what the user allows, in words.
    /// - Throws: `external-reference`.
    public static func requireBeneath(_ place: String, _ name: String, namedBy image: String) throws(ImageError) {
        guard let objection = objection(to: name) else { return }
        throw ImageError(
            .externalReference,
            "it names '\(shown(name))', which \(objection); only a relative path that stays beneath \(place) is followed",
            path: image)
    }

    /// A name for a message: without what a terminal would take for a command, and not too long.
    public static func shown(_ name: String) -> String {
        var shown = ""
        for scalar in name.unicodeScalars.prefix(200) {
            shown.unicodeScalars.append(scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value) ? "?" : scalar)
        }
        return name.unicodeScalars.count > 200 ? shown + "…" : shown
    }
}
