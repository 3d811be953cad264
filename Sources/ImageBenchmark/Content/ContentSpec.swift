package import ImageModel

/// `--generate`: how large a disk shall be, and what of it is data, written zeros and holes.
package struct ContentSpec: Hashable, Sendable {
    /// In bytes, a multiple of `blockSize`.
    package var size: UInt64
    /// Per cent of the disk that is data.
    package var data: UInt64 = 25
    /// Per cent of the disk that is zeros which are written; what is left is a hole.
    package var zeros: UInt64 = 5
    /// Per cent of the data that is like text; the rest is random bytes.
    var compressible: UInt64 = 80
    var seed: UInt64 = 1

    /// What is generated where nothing is said: 256 MiB of data.
    package static let standard = ContentSpec(size: 1 << 30)

    static let blockSize: UInt64 = 4096
    static let sizes: ClosedRange<UInt64> = 1 << 20...16 << 40

    /// The same, as it is written on the command line.
    package var text: String {
        "\(ByteSize(bytes: size).exactText),data=\(data)%,zeros=\(zeros)%,compressible=\(compressible)%,"
            + "seed=\(seed)"
    }
}

extension ContentSpec {
    /// Reads `SIZE[,data=P%][,zeros=P%][,compressible=P%][,seed=N]`.
    ///
    /// - Throws: `invalid-option`, with what would be right.
    package init(parsing text: String) throws(ImageError) {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        size = try Self.size(parts[0])
        var given: Set<String> = []
        for part in parts.dropFirst() {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard pair.count == 2 else {
                throw Self.invalid("'\(part)' is no KEY=VALUE; write it like '8GiB,data=30%,zeros=10%'")
            }
            guard given.insert(pair[0]).inserted else {
                throw Self.invalid("'\(pair[0])' is given twice; give it once")
            }
            try set(pair[0], to: pair[1])
        }
        guard data + zeros <= 100 else {
            throw Self.invalid(
                "data=\(data)% and zeros=\(zeros)% make \(data + zeros)% of the disk; together they are at most 100%, and "
                    + "what is left is a hole")
        }
    }

    private mutating func set(_ key: String, to value: String) throws(ImageError) {
        switch key {
        case "data": data = try Self.percentage(value, of: key)
        case "zeros": zeros = try Self.percentage(value, of: key)
        case "compressible": compressible = try Self.percentage(value, of: key)
        case "seed":
            guard let number = UInt64(value) else {
                throw Self.invalid("seed=\(value) is not a seed; it is a number from 0 to \(UInt64.max)")
            }
            seed = number
        default:
            throw Self.invalid("there is no key '\(key)'; the keys are data, zeros, compressible and seed")
        }
    }

    private static func percentage(_ text: String, of key: String) throws(ImageError) -> UInt64 {
        guard let number = UInt64(text.hasSuffix("%") ? String(text.dropLast()) : text), number <= 100 else {
            throw invalid("\(key)=\(text) is not a share; it is a whole number from 0% to 100%")
        }
        return number
    }

    /// `8G` and `8GiB` are both 8 × 1024³ bytes; `8GB` is refused, since half of its readers take it for 8 × 1000³.
    private static func size(_ text: String) throws(ImageError) -> UInt64 {
        var short = text.lowercased()
        if short.hasSuffix("ib") { short.removeLast(2) }
        guard let size = ByteSize(argument: short), !short.isEmpty else {
            throw invalid("'\(text)' is not a size; begin with one like 512MiB, 8GiB or 8G (powers of 1024)")
        }
        guard sizes.contains(size.bytes) else {
            throw invalid(
                "a disk of \(NumberText.size(size.bytes)) can't be generated; it is from \(NumberText.size(sizes.lowerBound)) "
                    + "to \(NumberText.size(sizes.upperBound))")
        }
        guard size.bytes.isMultiple(of: blockSize) else {
            throw invalid("\(size.bytes) bytes are not whole blocks of \(blockSize) bytes; use a multiple of that")
        }
        return size.bytes
    }

    private static func invalid(_ message: String) -> ImageError { ImageError(.invalidOption, message) }
}
