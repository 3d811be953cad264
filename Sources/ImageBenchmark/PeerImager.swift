internal import Glibc
internal import ImageFiles
internal import ImageFormats
package import ImageModel
package import ImagePipeline

/// `qemu-img`, as it is installed: the peer that does the same jobs in turn with us.
///
/// It gets the same files as we do: those without a name it reaches through /proc, so that it leaves nothing behind either.
package struct PeerImager: Sendable {
    /// As `qemu-img --version` says it.
    package let version: String
    let cancellation: CancellationFlag

    static let program = "qemu-img"

    /// Whether other programs can open our files without a name.
    package static var canReachOurFiles: Bool { unsafe access("/proc/self/fd", X_OK) == 0 }

    /// Whether it reads and writes such images, in files without a name: those of several have one each.
    static func knows(_ variant: FormatVariant) -> Bool {
        variant.format.packaging == nil && !variant.isSeveralFiles
    }

    /// Asks for its version.
    ///
    /// - Returns: nil where it is not installed, or does not run.
    package static func find(_ cancellation: CancellationFlag) throws(ImageError) -> PeerImager? {
        guard let outcome = try ChildProcess.run([program, "--version"], cancellation), outcome.status == 0 else {
            return nil
        }
        let words = outcome.output.split(separator: "\n").first?.split(separator: " ") ?? []
        guard let index = words.firstIndex(of: "version"), index + 1 < words.endIndex else { return nil }
        return PeerImager(version: String(words[index + 1]), cancellation: cancellation)
    }

    /// Converts an image into a file that is there, and empty.
    func write(
        _ source: FileSource, _ format: ImageFormat, as variant: FormatVariant, to destination: FileSource,
        _ samples: inout Samples
    ) throws(ImageError) {
        // What `-c` says there is `compress` here.
        let options = variant.settings.filter { $0.key != "compress" }.sorted { $0.key < $1.key }
            .map { "\($0.key)=\($0.value)" }
        let arguments =
            ["-f", Self.name(format), "-O", Self.name(variant.format)]
            + (variant.compression == nil ? [] : ["-c"])
            + (options.isEmpty ? [] : ["-o", options.joined(separator: ",")])
        try convert(arguments + [source.processPath, destination.processPath], &samples)
    }

    /// Reads an image, and drops what is read.
    func read(_ image: FileSource, _ format: ImageFormat, virtualSize: UInt64, _ samples: inout Samples)
        throws(ImageError)
    {
        // It rounds the size of some formats up: the target must hold that too.
        let target = "driver=null-co,size=\(virtualSize + (64 << 20))"
        try convert(["-n", "-f", Self.name(format), "--target-image-opts", image.processPath, target], &samples)
    }

    private func convert(_ arguments: [String], _ samples: inout Samples) throws(ImageError) {
        let words = [Self.program, "convert"] + arguments
        let outcome = try samples.measure { () throws(ImageError) in try ChildProcess.run(words, cancellation) }
        guard let outcome, outcome.status == 0 else {
            let said = outcome.map { ": " + $0.output.split(separator: "\n").joined(separator: "; ") } ?? ""
            throw ImageError(
                .inputOutput,
                "'\(words.joined(separator: " "))' failed\(said); --no-peer measures without it", operation: "convert")
        }
    }

    private static func name(_ format: ImageFormat) -> String { format == .vhd ? "vpc" : format.rawValue }
}
