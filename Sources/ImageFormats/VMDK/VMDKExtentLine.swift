import ImageModel

/// One line of the extent description: `RW 4192256 SPARSE "disk-s001.vmdk"`.
///
/// Source: VMware Virtual Disk Format 5.0, "The Extent Description".
struct VMDKExtentLine: Hashable, Sendable {
    enum Access: String, Hashable, Sendable {
        case readWrite = "RW"
        case readOnly = "RDONLY"
        case none = "NOACCESS"
    }

    /// What an extent is made of.
    enum Kind: Hashable, Sendable {
        /// `FLAT` and `VMFS`: the bytes as they are.
        case flat
        /// `SPARSE`: a hosted sparse extent (KDMV).
        case sparse
        /// `VMFSSPARSE`: COWD.
        case cowd
        /// `SESPARSE`.
        case seSparse
        /// `ZERO`: no file at all.
        case zero
        /// `VMFSRDM` and `VMFSRAW`.
        case device
        case unknown
    }

    var access: Access
    /// In sectors.
    var size: UInt64
    /// As it is written, in upper case.
    var type: String
    /// The file that holds it; empty where none does.
    var fileName: String
    /// Where in the file a flat extent begins, in sectors; 0 where it does not say.
    var offset: UInt64

    var kind: Kind {
        switch type {
        case "FLAT", "VMFS": .flat
        case "SPARSE": .sparse
        case "VMFSSPARSE": .cowd
        case "SESPARSE": .seSparse
        case "ZERO": .zero
        case "VMFSRDM", "VMFSRAW": .device
        default: .unknown
        }
    }

    /// Whether its file has tables.
    var hasTables: Bool { [.sparse, .cowd, .seSparse].contains(kind) }
}

extension VMDKExtentLine {
    /// The access that a line begins with, as those of extents do; nil for other lines.
    static func access(of line: ArraySlice<UInt8>) -> Access? {
        guard let first = line.first, "RrNn".utf8.contains(first) else { return nil }
        return Access(rawValue: text(line.prefix { !isBlank($0) }).uppercased())
    }

    /// - Returns: nil where the line does not go on as that of an extent.
    init?(_ line: ArraySlice<UInt8>, _ access: Access) {
        let words = line.split(maxSplits: 3, whereSeparator: isBlank)
        guard words.count >= 3, let size = UInt64(text(words[1])) else { return nil }
        self.access = access
        self.size = size
        type = text(words[2]).uppercased()
        fileName = ""
        offset = 0
        guard words.count > 3, !trimmed(words[3]).isEmpty else { return }
        let quote = UInt8(ascii: "\"")
        var rest = trimmed(words[3])
        if rest.first == quote {
            rest = rest.dropFirst()
            guard let end = rest.firstIndex(of: quote) else { return nil }
            fileName = text(rest[..<end])
            rest = rest[(end + 1)...]
        } else {
            fileName = text(rest.prefix { !isBlank($0) })
            rest = rest.drop { !isBlank($0) }
        }
        // Disks of devices have a partition's identifier behind the offset; they are refused by name.
        guard let word = rest.split(whereSeparator: isBlank).first else { return }
        guard let offset = UInt64(text(word)) else { return nil }
        self.offset = offset
    }

    /// Refuses what can't be read.
    ///
    /// - Throws: `unsupported`, `corrupt` or `limit-exceeded`.
    func validate(path: String, at place: FileOffset) throws(ImageError) {
        func refusal(_ code: ImageError.Code, _ message: String) -> ImageError {
            ImageError(code, message, path: path, offset: place)
        }
        let what = "the VMDK descriptor has an extent '\(ReferencedName.shown(fileName))' of \(size) sectors"
        guard access != .none else {
            throw refusal(
                .unsupported, "\(what) that may not be read (NOACCESS), so the disk's content can't be had as a whole")
        }
        switch kind {
        case .device:
            throw refusal(
                .unsupported,
                "\(what) and type \(type), which is a device of the ESXi host and not a file; copy the disk there with "
                    + "'vmkfstools -i' first")
        case .unknown:
            throw refusal(
                .unsupported,
                "\(what) and type '\(ReferencedName.shown(type))'; Lathe reads FLAT, VMFS, SPARSE, VMFSSPARSE, SESPARSE and "
                    + "ZERO")
        case .flat, .sparse, .cowd, .seSparse:
            guard !fileName.isEmpty else { throw refusal(.corrupt, "\(what) and type \(type), but no file name") }
        case .zero: break
        }
        let (end, overflow) = offset.addingReportingOverflow(size)
        guard !overflow, end <= UInt64(Int64.max) / sectorSize else {
            throw refusal(.limitExceeded, "\(what) that begins at sector \(offset), more than any file has")
        }
    }
}
