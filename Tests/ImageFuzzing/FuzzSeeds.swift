import Foundation
public import ImageFormats
import ImageModel
import LatheTestSupport

/// Where a fuzzer starts: small images of every layout that Lathe writes, and hostile ones that somebody thought of.
public enum FuzzSeeds {
    /// Bytes of an input; more makes a fuzzer slow.
    public static let longestInput = 12 << 10

    /// Images of a format as Lathe writes them, with random content where units are.
    public static func made(_ format: ImageFormat) throws -> [FuzzInput] {
        var seeds: [FuzzInput] = []
        // An input is one file; the parts of an image of several are hostile images of their own.
        let settings = FormatCatalog.variants.filter { $0.format == format && !$0.isSeveralFiles }.map(\.settings)
        for (index, options) in settings.enumerated() {
            for size in [1 << 20, 5 << 20] as [UInt64] {
                seeds.append(try seed(format, options, size, index))
            }
        }
        return seeds
    }

    private static func seed(
        _ format: ImageFormat, _ options: [String: String], _ size: UInt64, _ number: Int
    ) throws -> FuzzInput {
        var encoder = try FormatCatalog.encoder(
            for: format, parameters: EncoderParameters(contentLength: size, virtualSize: size),
            options: FormatOptions(options))
        var memory = SparseMemory(name: "seed")
        var metadata: [MetadataSegment] = []
        let units = size.dividedRoundingUp(by: encoder.unitSize)
        for unit in Set([0, 1, units - 1]).sorted() where unit < units {
            let isCompressed = if case .compressed = encoder.storage { true } else { false }
            let length = isCompressed ? 1500 : encoder.unitSize
            let place = try encoder.place(unit: unit, storedLength: length, metadata: &metadata)
            memory.write([UInt8](repeating: UInt8(truncatingIfNeeded: unit | 0xA0), count: 40), at: place.bytes)
        }
        let identity = ContentIdentity(fingerprint: UInt64(number), virtualSize: size)
        let length = try encoder.finish(content: identity, metadata: &metadata)
        for segment in metadata { try memory.write(segment) }
        memory.truncate(to: length)
        var input = FuzzInput(memory[0..<memory.length], longest: longestInput / 2)
        input.mendsChecksums = true
        return input
    }

    /// The images of a format in a directory whose files are named `FORMAT-….…`, in the order of their names.
    public static func read(_ format: ImageFormat, in directory: String) throws -> [FuzzInput] {
        let prefix = format == .rawPackage ? "package-" : "\(format.rawValue)-"
        let names = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
        return try names.filter { $0.hasPrefix(prefix) }.compactMap { name in
            let bytes = [UInt8](try Data(contentsOf: URL(filePath: "\(directory)/\(name)")))
            let input = FuzzInput(bytes, longest: longestInput / 2)
            return input.encoded.count <= longestInput ? input : nil
        }
    }

    /// Writes all seeds of a format into a directory, each into a file of its own.
    ///
    /// - Parameter images: a directory of hostile images; nil for none.
    public static func write(_ format: ImageFormat, into directory: String, images: String?) throws {
        var seeds = try made(format)
        if let images { seeds += try read(format, in: images) }
        for (index, seed) in seeds.enumerated() {
            for reference in FuzzInput.Reference.allCases {
                var input = seed
                input.reference = reference
                try Data(input.encoded).write(to: URL(filePath: "\(directory)/seed-\(index)-\(reference)"))
            }
        }
    }
}
