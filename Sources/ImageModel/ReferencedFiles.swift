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

    /// The name in UTF-8 of a file that an image names in another encoding, as the machine had that it was made on.
    ///
    /// - Parameters:
    ///   - name: as `PathText` has its bytes.
    ///   - encoding: as the image calls it.
    /// - Returns: nil where that is the name itself, or can't be told.
    func nameInUTF8(of name: String, in encoding: String) -> String?

    /// What a file is of which the image that names it does not say the format: a name of a format, which the user gave; nil where
    /// the content must show it.
    var undeclaredFormat: String? { get }

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

extension ReferencedFiles {
    public func nameInUTF8(of name: String, in encoding: String) -> String? { nil }
    public var undeclaredFormat: String? { nil }
}

/// The same files, with the user's word for the format of those whose image does not say it.
public struct FilesOfFormat: ReferencedFiles {
    private let files: any ReferencedFiles
    public let undeclaredFormat: String?

    public init(_ files: any ReferencedFiles, undeclared format: String) {
        self.files = files
        undeclaredFormat = format
    }

    public func open(_ name: String, namedBy image: String) throws(ImageError) -> any ImageSource {
        try files.open(name, namedBy: image)
    }

    public func nameInUTF8(of name: String, in encoding: String) -> String? {
        files.nameInUTF8(of: name, in: encoding)
    }

    public func search(
        ending: String, beside image: String, _ isWanted: (any ImageSource) throws(ImageError) -> Bool
    ) throws(ImageError) -> [any ImageSource] {
        try files.search(ending: ending, beside: image, isWanted)
    }
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

    /// Why a name may not be followed, whatever file it would lead to; nil for one that may.
    ///
    /// Programs that open names of images take some for more than paths: `nbd:`, `json:` and their like make QEMU connect, or
    /// write (CVE-2024-4467).
    ///
    /// - Parameter relativeOnly: whether the path must go down only. An absolute one or one with `..` leads to files of the machine's
    ///   owner (CVE-2024-32498), unless whoever follows it looks at where it ends.
    public static func objection(to name: String, relativeOnly: Bool = true) -> String? {
        guard !name.isEmpty else { return "is empty" }
        let length = PathText.bytes(of: name).count
        guard length <= maximumLength else {
            return "has \(length) bytes, more than the \(maximumLength) that a name may have"
        }
        guard name.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7F && $0.value != 0xFFFD }) else {
            return "has characters that no name has"
        }
        guard !name.utf8.contains(UInt8(ascii: "\\")) else { return "has a backslash" }
        let parts = name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map {
            String(Substring($0))
        }
        if relativeOnly {
            guard name.utf8.first != UInt8(ascii: "/") else { return "is an absolute path" }
            guard !parts.contains("..") else { return "leads up by '..'" }
        }
        guard let last = parts.last, !["", ".", ".."].contains(last) else { return "is that of a directory" }
        let first = parts.first ?? ""
        guard !first.utf8.contains(UInt8(ascii: ":")) else {
            return "begins with '\(first.prefix { $0 != ":" }):', as names of protocols do"
        }
        return nil
    }

    /// Refuses a name that may not be followed.
    ///
    /// - Throws: `external-reference`.
    public static func requireFollowable(_ name: String, namedBy image: String) throws(ImageError) {
        guard let objection = objection(to: name, relativeOnly: false) else { return }
        throw ImageError(
            .externalReference,
            "it names '\(shown(name))', which \(objection); only the path of a file is followed", path: image)
    }

    /// A name for a message: without what a terminal would take for a command, and not too long.
    public static func shown(_ name: String) -> String {
        var shown = ""
        let text = PathText.shown(name)
        for scalar in text.unicodeScalars.prefix(200) {
            shown.unicodeScalars.append(scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value) ? "?" : scalar)
        }
        return text.unicodeScalars.count > 200 ? shown + "…" : shown
    }
}
