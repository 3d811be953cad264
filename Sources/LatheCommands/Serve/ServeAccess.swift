internal import ArgumentParser
internal import FoundationEssentials
internal import OSSServer
internal import OSSWire
internal import ObjectStorage

/// Whom a server lets in.
struct ServeAccess: ParsableArguments {
    @Option(help: ArgumentHelp("The ID of the key that is let in.", valueName: "id"))
    var accessKeyId: String?

    @Option(
        help: ArgumentHelp(
            "Its secret. Other users of the machine can read command lines: a file is better.", valueName: "secret"))
    var accessKeySecret: String?

    @Option(help: ArgumentHelp("A file of keys that are let in.", valueName: "path"), completion: .file())
    var credentialsFile: String?

    @Flag(help: "Let requests without a signature do everything.")
    var anonymous = false

    /// The first option that was given, if any was.
    var firstGiven: String? {
        [
            ("--access-key-id", accessKeyId != nil), ("--credentials-file", credentialsFile != nil),
            ("--anonymous", anonymous),
        ].first { $0.1 }?.0
    }

    func validate() throws {
        guard (accessKeyId == nil) == (accessKeySecret == nil) else {
            throw ValidationError("--access-key-id and --access-key-secret go together.")
        }
        guard accessKeyId == nil || credentialsFile == nil else {
            throw ValidationError("a key comes from the command line or from --credentials-file, not from both.")
        }
        guard accessKeyId != "", accessKeySecret != "" else {
            throw ValidationError("a key has an ID and a secret, and neither is empty.")
        }
    }

    /// Sets the keys, and answers one that was made up because none was given.
    func apply(to configuration: inout OSSServerConfiguration) throws(StoreError) -> Credentials? {
        if let credentialsFile {
            configuration.credentials = try Self.credentials(inFile: credentialsFile)
        } else if let accessKeyId, let accessKeySecret {
            configuration.credentials = [
                ServerCredential(Credentials(accessKeyID: accessKeyId, accessKeySecret: accessKeySecret))
            ]
        } else if !anonymous {
            let madeUp = Credentials(accessKeyID: "LATHE\(Self.letters(19))", accessKeySecret: Self.letters(30))
            configuration.credentials = [ServerCredential(madeUp)]
            return madeUp
        }
        return nil
    }

    /// The keys of a file, with a line for each: the ID, a colon, the secret.
    ///
    /// - Throws: `invalid-request`, which tells the line's number and never what stands in it; `input-output`.
    static func credentials(inFile path: String) throws(StoreError) -> [ServerCredential] {
        let text: String
        do {
            text = try String(contentsOfFile: path, encoding: .utf8)
        } catch {
            throw StoreError(
                .inputOutput, "the file of keys can't be read, or is not UTF-8", operation: path, cause: error)
        }
        var credentials: [ServerCredential] = []
        for (number, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            guard let first = line.first(where: { !$0.isWhitespace }), first != "#" else { continue }
            let halves = line.split(separator: ":", maxSplits: 1).map { String($0.filter { !$0.isWhitespace }) }
            guard halves.count == 2, !halves[0].isEmpty, !halves[1].isEmpty else {
                throw StoreError(
                    .invalidRequest, "line \(number + 1) is no key: expected the ID, a colon and the secret",
                    operation: path)
            }
            credentials.append(ServerCredential(Credentials(accessKeyID: halves[0], accessKeySecret: halves[1])))
        }
        guard !credentials.isEmpty else {
            throw StoreError(.invalidRequest, "there is no key in the file: nobody could come in", operation: path)
        }
        return credentials
    }

    /// Letters and digits from the system's source of randomness: 30 of them hold 178 bits.
    private static func letters(_ count: Int) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
        var generator = SystemRandomNumberGenerator()
        return String((0..<count).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &generator)] })
    }
}
