internal import ImageModel

/// What a configuration file says that there must be.
///
/// Nothing is removed by being left out, and a field that is left out changes nothing, but for the policies of a role that are
/// listed: those are all that it has.
package struct ServiceConfiguration: Hashable, Sendable {
    struct Region: Hashable, Sendable {
        var id: String
        var localName: String?
        var endpoint: String?
        var supportsExport: Bool?
        var path: String
    }

    struct Account: Hashable, Sendable {
        /// One of both is there; a new account needs a name.
        var id: String?
        var name: String?
        var settings: AccountSettings
        var keys: [Key]
        var policies: [Policy]
        var roles: [Role]
        var buckets: [Bucket]
        var images: [Image]
        var path: String
    }

    struct Key: Hashable, Sendable {
        var id: String
        /// Nil leaves that of a key that is there, and makes one up for a new one.
        var secret: String?
        var isActive: Bool?
        var path: String
    }

    struct Policy: Hashable, Sendable {
        var name: String
        /// JSON.
        var document: String
        var path: String
    }

    struct Role: Hashable, Sendable {
        var name: String
        /// JSON.
        var trustPolicy: String?
        var maxSessionSeconds: Int?
        var policies: [String]?
        var path: String
    }

    struct Bucket: Hashable, Sendable {
        var name: String
        var region: String
        var path: String
    }

    struct Image: Hashable, Sendable {
        struct Disk: Hashable, Sendable {
            var file: DiskFile
            var device: String?
            var isEncrypted: Bool
            var path: String
        }

        /// Nil takes the image of the account and region that has the name.
        var id: String?
        var name: String
        var region: String
        var description: String?
        var status: ImageRecord.Status?
        var productCode: String?
        var licenseRestriction: String?
        var osType: String?
        var architecture: String?
        var platform: String?
        var disks: [Disk]
        var path: String
    }

    var regions: [Region]
    var accounts: [Account]

    /// Reads a file that is JSON or YAML.
    ///
    /// - Parameters:
    ///   - text: what stands in the file; with a `{` at its beginning it is JSON.
    ///   - directory: what paths in it are relative to.
    ///   - readFile: reads a file of a secret.
    /// - Throws: `invalid`, with the path of the field.
    package init(
        _ text: String, relativeTo directory: String, readFile: (String) throws(StateError) -> String
    ) throws(StateError) {
        let isJSON = text.first { !$0.isWhitespace } == "{"
        let document =
            isJSON ? try JSONReader.document(text, .configuration) : try YAMLReader.read(text, .configuration)
        // A file in which nothing stands says nothing.
        var reader = try FieldReader(document == .null ? .object([]) : document, path: "")
        let parser = ConfigurationFields(directory: directory)
        regions = try reader.objects("regions") { (fields) throws(StateError) in try parser.region(&fields) }
        accounts = try reader.objects("accounts") { (fields) throws(StateError) in
            try parser.account(&fields, readFile: readFile)
        }
        try reader.finish()
    }

    /// A file of a disk.
    package struct DiskFile: Hashable, Sendable {
        /// Absolute.
        package var path: String
        /// As `qcow2`; nil where the file shows.
        package var format: String?
    }

    /// The files of all disks, each once.
    package var diskFiles: Set<DiskFile> { Set(accounts.flatMap { $0.images.flatMap { $0.disks.map(\.file) } }) }

    /// The names of all buckets.
    package var bucketNames: [String] { accounts.flatMap { $0.buckets.map(\.name) } }
}
