internal import Glibc
internal import ImageModel

/// Names of files in the encodings of other machines (`iconv(3)`).
public enum NameEncoding {
    /// What a name in UTF-8 has at most for each byte of another encoding.
    private static let growth = 4

    /// A name in UTF-8.
    ///
    /// - Parameters:
    ///   - name: as `PathText` has its bytes.
    ///   - encoding: a name of the encoding, such as `GBK` or `windows-1252`.
    /// - Returns: nil where the encoding is UTF-8 already, or not known here, or where the name is none in it.
    public static func utf8(_ name: String, from encoding: String) -> String? {
        guard !encoding.isEmpty, encoding.utf8.allSatisfy(isPlain), encoding.lowercased() != "utf-8" else { return nil }
        guard let converter = unsafe iconv_open("UTF-8", encoding), unsafe converter != iconv_t(bitPattern: -1) else {
            return nil
        }
        defer { unsafe iconv_close(converter) }
        var input = PathText.bytes(of: name).map { CChar(bitPattern: $0) }
        var output = [CChar](repeating: 0, count: input.count * growth + 16)
        let length = unsafe input.withUnsafeMutableBufferPointer { input in
            unsafe output.withUnsafeMutableBufferPointer { output -> Int? in
                var (from, left) = (input.baseAddress, input.count)
                var (to, room) = (output.baseAddress, output.count)
                // What has no counterpart would be another name: only a whole conversion counts.
                guard unsafe iconv(converter, &from, &left, &to, &room) == 0, left == 0 else { return nil }
                return output.count - room
            }
        }
        guard let length else { return nil }
        let text = PathText.text(of: output.prefix(length).map { UInt8(bitPattern: $0) })
        return text.utf8.elementsEqual(name.utf8) ? nil : text
    }

    /// What stands in names of encodings; a slash would ask iconv for more than a conversion.
    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
            UInt8(ascii: ":"):
            true
        default: false
        }
    }
}
