internal import FoundationEssentials
internal import Glibc
public import OSSWire
public import ObjectStorage

/// What a user may say to reach a store: credentials, and where it is.
public struct StoreSettings: Hashable, Sendable {
    public var accessKeyID: String?
    public var accessKeySecret: String?
    public var securityToken: String?
    public var endpoint: String?
    public var region: String?

    public init(
        accessKeyID: String? = nil, accessKeySecret: String? = nil, securityToken: String? = nil,
        endpoint: String? = nil, region: String? = nil
    ) {
        self.accessKeyID = accessKeyID
        self.accessKeySecret = accessKeySecret
        self.securityToken = securityToken
        self.endpoint = endpoint
        self.region = region
    }
}

extension StoreSettings: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String {
        "access key \(accessKeyID ?? "none"), endpoint \(endpoint ?? "none"), region \(region ?? "none")"
    }

    public var debugDescription: String { description }

    /// Without the secret and the token.
    public var customMirror: Mirror {
        Mirror(
            self, children: ["accessKeyID": accessKeyID as Any, "endpoint": endpoint as Any, "region": region as Any],
            displayStyle: .struct)
    }
}

/// Where credentials come from: what was given first, then the environment, then a file.
public enum CredentialSources {
    /// The environment variables of a kind of store.
    public struct Variables: Hashable, Sendable {
        public var accessKeyID: String
        public var accessKeySecret: String
        public var securityToken: String
        public var endpoint: [String]
        public var region: [String]

        /// Those of the vendor's own tools (ossutil 2, "Environment variables").
        public static let oss = Variables(
            accessKeyID: "OSS_ACCESS_KEY_ID", accessKeySecret: "OSS_ACCESS_KEY_SECRET",
            securityToken: "OSS_SESSION_TOKEN", endpoint: ["OSS_ENDPOINT"], region: ["OSS_REGION"])
        /// Those of Amazon's own tools ("Environment variables to configure the AWS CLI").
        public static let s3 = Variables(
            accessKeyID: "AWS_ACCESS_KEY_ID", accessKeySecret: "AWS_SECRET_ACCESS_KEY",
            securityToken: "AWS_SESSION_TOKEN", endpoint: ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
            region: ["AWS_REGION", "AWS_DEFAULT_REGION"])
    }

    /// Where ossutil keeps its configuration: `~/.ossutilconfig`.
    public static func configurationPath(environment: [String: String]) -> String? {
        environment["HOME"].flatMap { $0.isEmpty ? nil : "\($0)/.ossutilconfig" }
    }

    /// The credentials, and where the store is, from the first source that has them.
    ///
    /// An access key, its secret and its token come from one source together; endpoint and region from the first that has
    /// them, each by itself.
    ///
    /// - Parameters:
    ///   - given: what the user said on the command line.
    ///   - configurationPath: a file of ossutil's that need not be there; nil where none is looked at.
    /// - Returns: `credentials` is nil where no source has an access key.
    /// - Throws: `access-denied` where a source has an access key without a secret, or a secret without a key, or where a control
    ///   character is in one; `input-output` where the file can't be read.
    public static func resolve(
        given: StoreSettings, variables: Variables, environment: [String: String], configurationPath: String?
    ) throws(StoreError) -> (credentials: Credentials?, endpoint: String?, region: String?) {
        func first(_ names: [String]) -> String? { names.lazy.compactMap { environment[$0] }.first { !$0.isEmpty } }
        let ambient = StoreSettings(
            accessKeyID: first([variables.accessKeyID]), accessKeySecret: first([variables.accessKeySecret]),
            securityToken: first([variables.securityToken]), endpoint: first(variables.endpoint),
            region: first(variables.region))
        let file = try configurationPath.map { (path) throws(StoreError) in try read(path) } ?? StoreSettings()
        let sources = [
            ("what was given", given),
            ("the environment (\(variables.accessKeyID), \(variables.accessKeySecret))", ambient),
            (configurationPath ?? "", file),
        ]
        var credentials: Credentials?
        for (name, source) in sources where credentials == nil {
            credentials = try source.credentials(from: name)
        }
        let endpoint = sources.lazy.compactMap(\.1.endpoint).first
        let region = sources.lazy.compactMap(\.1.region).first
        return (credentials, endpoint, region)
    }

    private static let greatestFileLength = 1 << 20

    /// Nothing where the file is not there.
    private static func read(_ path: String) throws(StoreError) -> StoreSettings {
        guard unsafe access(path, F_OK) == 0 else { return StoreSettings() }
        guard let data = try? Data(contentsOf: URL(filePath: path)), data.count <= greatestFileLength else {
            throw StoreError(
                .inputOutput, "the configuration '\(path)' can't be read, or is longer than \(greatestFileLength) bytes"
            )
        }
        return parse(String(decoding: data, as: UTF8.self))
    }

    /// What a configuration of ossutil says: `name = value` in `[Credentials]` (version 1) or `[default]` (version 2).
    ///
    /// Case, hyphens and underscores do not count in names, since the two versions differ in them (ossutil, "Configure
    /// ossutil"). What is not known here is passed over.
    public static func parse(_ text: String) -> StoreSettings {
        var settings = StoreSettings()
        var section = "default"
        for line in text.split(whereSeparator: \.isNewline) {
            let line = trimmed(line)
            if line.isEmpty || line.hasPrefix("#") || line.hasPrefix(";") { continue }
            if line.hasPrefix("[") {
                section = trimmed(line.drop { $0 == "[" }.prefix { $0 != "]" }).lowercased()
                continue
            }
            let halves = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard halves.count == 2, section == "credentials" || section == "default" || section == "profile default"
            else { continue }
            var value = trimmed(halves[1])
            if value.count >= 2, let quote = value.first, quote == "\"" || quote == "'", value.last == quote {
                value = value.dropFirst().dropLast()
            }
            guard !value.isEmpty else { continue }
            settings.set(trimmed(halves[0]).lowercased().filter { $0 != "-" && $0 != "_" }, String(value))
        }
        return settings
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop(while: \.isWhitespace)
        while text.last?.isWhitespace == true { text = text.dropLast() }
        return text
    }
}

extension StoreSettings {
    fileprivate mutating func set(_ name: String, _ value: String) {
        switch name {
        case "accesskeyid": accessKeyID = accessKeyID ?? value
        case "accesskeysecret": accessKeySecret = accessKeySecret ?? value
        case "ststoken", "securitytoken": securityToken = securityToken ?? value
        case "endpoint": endpoint = endpoint ?? value
        case "region": region = region ?? value
        default: break
        }
    }

    fileprivate func credentials(from source: String) throws(StoreError) -> Credentials? {
        switch (accessKeyID, accessKeySecret) {
        case (nil, nil): return nil
        case (let id?, let secret?):
            for (name, value) in [("access key", id), ("access key's secret", secret), ("token", securityToken ?? "")]
            where value.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) {
                throw StoreError(
                    .accessDenied,
                    "there is a control character in the \(name) in \(source); look for a line end behind it")
            }
            return Credentials(accessKeyID: id, accessKeySecret: secret, securityToken: securityToken)
        case (_, nil):
            throw StoreError(.accessDenied, "an access key without its secret in \(source); both are needed")
        case (nil, _):
            throw StoreError(.accessDenied, "an access key's secret without the key in \(source); both are needed")
        }
    }
}
