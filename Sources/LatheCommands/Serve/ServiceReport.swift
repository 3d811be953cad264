internal import ExportService

/// What is printed when the service listens.
struct ServiceReport: Encodable {
    /// Where the API is.
    var endpoint = ""
    /// That of the embedded store, where it is there.
    var ossEndpoint: String?
    var directory: String
    /// What a first start made, to be told this once.
    var accountId: String?
    var accessKeyId: String?
    var accessKeySecret: String?
    var region: String?
    var role: String?
    var bucket: String?
    /// A program that exports an image.
    var example: String?
    /// Secrets of keys that the configuration file names without one, by the keys' ids.
    var secrets: [String: String]?

    /// What makes another key, where a first start made one before.
    var newKeyCommand: String?

    init(directory: String) { self.directory = directory }

    /// - Parameter endpoint: host and port of the API, for the example.
    mutating func take(_ setUp: FirstSetup?, _ keys: [AccessKeyRecord], example endpoint: String) {
        if !keys.isEmpty { secrets = Dictionary(uniqueKeysWithValues: keys.map { ($0.id, $0.secret) }) }
        guard let setUp else {
            newKeyCommand = "lathe admin key create --data-directory \(ShellWord.quoted(directory))"
            return
        }
        accountId = setUp.accountID
        accessKeyId = setUp.accessKeyID
        accessKeySecret = setUp.accessKeySecret
        region = setUp.regionID
        role = setUp.roleName
        bucket = setUp.bucket
        example = ClientExamples(setUp, endpoint: endpoint).firstPythonSDK
    }

    var text: String {
        var lines = ["endpoint: \(endpoint)"]
        if let ossEndpoint { lines.append("oss endpoint: \(ossEndpoint)") }
        lines.append("directory: \(directory)")
        for (name, value) in [
            ("account", accountId), ("access key ID", accessKeyId), ("access key secret", accessKeySecret),
            ("region", region), ("role", role), ("bucket", bucket),
        ] {
            if let value { lines.append("\(name): \(value)") }
        }
        for (id, secret) in (secrets ?? [:]).sorted(by: { $0.key < $1.key }) {
            lines.append("access key secret of \(id): \(secret)")
        }
        if let newKeyCommand {
            lines += [
                "", "Secrets of keys were shown when they were made. This makes another key (--account says whose):",
                "",
                "  \(newKeyCommand)",
            ]
        }
        if let example {
            lines += ["", "This was the first start, and the secret is shown this once."]
            if bucket == nil {
                lines += [
                    "Say which bucket of the endpoint's may be exported to:", "",
                    "  lathe admin bucket create --elsewhere --data-directory \(ShellWord.quoted(directory)) --region \(region ?? "REGION") BUCKET",
                    "",
                ]
            }
            lines += [
                "Register an image:", "",
                "  lathe image add --data-directory \(ShellWord.quoted(directory)) --name NAME FILE", "",
                "then export it with the vendor's SDK for Python (aliyun-python-sdk-ecs):", "",
            ]
            lines += example.split(separator: "\n", omittingEmptySubsequences: false).map { "  \($0)" }
        }
        return lines.joined(separator: "\n")
    }
}

/// A word as a shell takes it.
enum ShellWord {
    static func quoted(_ word: String) -> String {
        let isPlain =
            !word.isEmpty
            && word.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "/._-+=:@%,".contains($0)) }
        return isPlain ? word : "'\(word.replacing("'", with: "'\\''"))'"
    }
}
