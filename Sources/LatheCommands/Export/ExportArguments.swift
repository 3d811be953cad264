internal import ArgumentParser
internal import ImageExport
internal import ImageModel
internal import ImagePipeline
internal import ObjectStorage

/// What is said of an object beside its bytes.
struct AttributeArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp("The storage class, as the store calls it: IA, Archive …", valueName: "class"))
    var storageClass: String?

    @Option(help: ArgumentHelp("Who may read it: private, public-read …", valueName: "acl"))
    var acl: String?

    @Option(help: ArgumentHelp("Have the store encrypt it: AES256 or KMS.", valueName: "algorithm"))
    var encryption: String?

    @Option(help: ArgumentHelp("With --encryption KMS: the key.", valueName: "id"))
    var encryptionKey: String?

    @Option(
        name: .customLong("metadata"),
        help: ArgumentHelp("Metadata of the object, several times for several.", valueName: "name=value"))
    var metadata: [String] = []

    func validate() throws {
        if encryptionKey != nil, encryption == nil {
            throw ValidationError("--encryption-key goes with --encryption KMS.")
        }
    }

    func attributes() throws(ImageError) -> ObjectAttributes {
        var attributes = ObjectAttributes(
            storageClass: storageClass, acl: acl,
            encryption: encryption.map { ServerSideEncryption(algorithm: $0, keyID: encryptionKey) })
        for pair in metadata {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, let name = parts.first.map({ String($0).lowercased() }), Self.isName(name),
                parts[1].utf8.allSatisfy({ (0x20...0x7E).contains($0) })
            else {
                throw ImageError(
                    .invalidOption,
                    "--metadata '\(pair)' is not NAME=VALUE, with letters, digits and hyphens in the name and printable ASCII in "
                        + "the value")
            }
            guard !name.hasPrefix("lathe-") else {
                throw ImageError(.invalidOption, "--metadata '\(name)': names that begin with 'lathe-' are Lathe's own")
            }
            attributes.userMetadata[name] = String(parts[1])
        }
        return attributes
    }

    private static func isName(_ name: String) -> Bool {
        !name.isEmpty
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }
}

/// How the network is used.
struct TransferArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "How many parts are on their way at a time, 1 to 64; each takes its length in memory.", valueName: "N"))
    var parallel = 4

    @Option(
        help: ArgumentHelp(
            "The length of a part. (default: 8M, or more where 10000 of them would not do)", valueName: "size"))
    var partSize: ByteSize?

    @Option(help: ArgumentHelp("At most so many bytes a second.", valueName: "size"))
    var limitRate: ByteSize?

    func validate() throws {
        guard TransferOptions.parallelCounts.contains(parallel) else {
            throw ValidationError("--parallel \(parallel) can't be had; it is a number from 1 to 64.")
        }
        if limitRate?.bytes == 0 { throw ValidationError("--limit-rate 0 would send nothing.") }
    }

    func options(_ cancellation: CancellationFlag?) -> TransferOptions {
        TransferOptions(
            parallel: parallel, partLength: partSize?.bytes,
            limit: limitRate.map {
                BandwidthLimit(bytesPerSecond: $0.bytes) { cancellation?.isCancelled ?? false }
            })
    }
}
