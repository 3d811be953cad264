internal import ImageCodecs

/// Where an object's file stands in its bucket: folders and a file name, one for each piece of the key between slashes.
///
/// A piece is its own name, but for these, of which no two come to the same name: `%` is `%25`, a leading `.` is `%2E` (dot
/// names are the store's own, and `.` and `..` are no names of files), and an empty piece is `%`.
struct ObjectPath: Hashable, Sendable {
    let folders: [String]
    let file: String

    /// The greatest length of a file name on Linux in bytes (`NAME_MAX`).
    private static let greatestNameLength = 255

    /// - Throws: `unsupported` where a piece is longer than a file's name can be.
    init(_ key: ObjectKey) throws(StoreError) {
        var names: [String] = []
        for piece in key.description.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
            let name = Self.name(of: String(decoding: piece, as: UTF8.self))
            guard name.utf8.count <= Self.greatestNameLength else {
                throw StoreError(
                    .unsupported,
                    "a directory keeps no object with \(name.utf8.count) bytes between two slashes of its key; a file name "
                        + "has at most \(Self.greatestNameLength)", operation: key.description)
            }
            names.append(name)
        }
        file = names.removeLast()
        folders = names
    }

    /// The name of the file or folder of a piece of a key.
    static func name(of piece: String) -> String {
        if piece.isEmpty { return "%" }
        var bytes: [UInt8] = []
        for (index, byte) in piece.utf8.enumerated() {
            if byte == UInt8(ascii: "%") {
                bytes += "%25".utf8
            } else if index == 0, byte == UInt8(ascii: ".") {
                bytes += "%2E".utf8
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The piece of a key that a name stands for; nil for names that `name(of:)` never answers.
    static func piece(of name: String) -> String? {
        if name == "%" { return "" }
        let bytes = Array(name.utf8)
        var piece: [UInt8] = []
        var index = 0
        while index < bytes.count {
            guard bytes[index] == UInt8(ascii: "%") else {
                piece.append(bytes[index])
                index += 1
                continue
            }
            switch bytes[index...].dropFirst().prefix(2) {
            case let digits where digits.elementsEqual("25".utf8): piece.append(UInt8(ascii: "%"))
            case let digits where digits.elementsEqual("2E".utf8): piece.append(UInt8(ascii: "."))
            default: return nil
            }
            index += 3
        }
        let text = String(decoding: piece, as: UTF8.self)
        return Self.name(of: text).utf8.elementsEqual(name.utf8) ? text : nil
    }
}

extension ObjectKey {
    /// CRC-64 of the key: names what belongs to it, together with the file's identity.
    var checksum: UInt64 { CRC64.checksum(Array(description.utf8).span) }

    /// Two keys are the same where their bytes are; strings compare equal in Swift where they only look the same.
    func isSame(as other: String) -> Bool { description.utf8.elementsEqual(other.utf8) }
}

/// CRC-64 of a few bytes.
func checksum(of bytes: [UInt8]) -> UInt64 { CRC64.checksum(bytes.span) }
