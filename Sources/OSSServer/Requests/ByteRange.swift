/// What the `Range` field of a request asks for, as OSS takes it.
///
/// OSS by default ignores what is malformed or reaches beyond the object, and answers the whole of it; asked by
/// `x-oss-range-behavior: standard` it does as HTTP says (OSS, "Use HTTP Range requests to get OSS resources in segments").
/// Of several ranges it takes the first by default; HTTP lets a server refuse them, and so it does in standard.
enum ByteRange {
    enum Choice: Hashable {
        case whole
        /// Bytes within the object; not empty.
        case part(Range<UInt64>)
        case unsatisfiable
    }

    /// - Parameters:
    ///   - field: the value of `Range`, where there is one.
    ///   - length: of the object, in bytes.
    static func choose(_ field: String?, length: UInt64, isStandard: Bool) -> Choice {
        guard let field else { return .whole }
        guard let spec = Spec(field, allowsMany: !isStandard) else { return isStandard ? .unsatisfiable : .whole }
        let range: Range<UInt64>?
        switch spec {
        case .from(let first, through: let last):
            if first >= length {
                range = nil
            } else if let last, last >= length {
                range = isStandard ? first..<length : nil
            } else {
                range = first..<(last.map { $0 + 1 } ?? length)
            }
        case .last(let count):
            if count == 0 || length == 0 {
                range = nil
            } else if count > length {
                range = isStandard ? 0..<length : nil
            } else {
                range = (length - count)..<length
            }
        }
        if let range { return .part(range) }
        return isStandard ? .unsatisfiable : .whole
    }

    /// `bytes=0-9` as a range, for a copied part, which must be within its source.
    static func exact(_ field: String, length: UInt64) -> Range<UInt64>? {
        guard case .from(let first, through: let last?) = Spec(field, allowsMany: false), last < length else {
            return nil
        }
        return first..<(last + 1)
    }

    private enum Spec {
        case from(UInt64, through: UInt64?)
        case last(UInt64)

        init?(_ field: String, allowsMany: Bool) {
            guard field.utf8.starts(with: "bytes=".utf8) else { return nil }
            let specs = field.dropFirst("bytes=".count).split(separator: ",", omittingEmptySubsequences: false)
            guard let first = specs.first, specs.count == 1 || allowsMany else { return nil }
            let ends = first.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
            guard ends.count == 2 else { return nil }
            if ends[0].isEmpty {
                guard let count = decimal(ends[1]) else { return nil }
                self = .last(count)
                return
            }
            guard let start = decimal(ends[0]) else { return nil }
            if ends[1].isEmpty {
                self = .from(start, through: nil)
            } else {
                guard let end = decimal(ends[1]), end >= start else { return nil }
                self = .from(start, through: end)
            }
        }
    }
}

/// Digits and nothing else, as a number that fits; `UInt64(_:)` takes a sign as well.
func decimal(_ text: some StringProtocol) -> UInt64? {
    guard text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else { return nil }
    return UInt64(text)
}
