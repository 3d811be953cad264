public import ArgumentParser
internal import FoundationEssentials
internal import Glibc
internal import ImageFiles
internal import ImageModel
internal import ImagePipeline
public import OSSClient
internal import OSSWire
internal import ObjectStorage

extension OSSConfiguration.SignatureVersion: ExpressibleByArgument {}
extension Addressing: ExpressibleByArgument {}

/// Which object store, and who asks.
struct StoreArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp("Where the store is: a URL, or a directory that is a store.", valueName: "url|dir"))
    var endpoint: String?

    @Option(help: ArgumentHelp("The store's region, such as cn-hangzhou.", valueName: "region"))
    var region: String?

    @Option(
        help: ArgumentHelp("The access key; better kept in the environment or ~/.ossutilconfig.", valueName: "id"))
    var accessKeyID: String?

    @Option(
        help: ArgumentHelp(
            "Its secret, which others may see in the list of processes when it is given here.", valueName: "secret"))
    var accessKeySecret: String?

    @Option(help: ArgumentHelp("The token that goes with a temporary key.", valueName: "token"))
    var securityToken: String?

    @Option(help: "The signature of OSS requests.")
    var signatureVersion: OSSConfiguration.SignatureVersion = .v4

    @Option(help: "How a bucket is named: in the host's name, in the path, or by a domain of its own.")
    var addressing: Addressing = .automatic

    @Flag(help: "Send a Content-MD5 with each part, too, for a store that checks it.")
    var contentMD5 = false

    @Option(
        help: ArgumentHelp("Certificates (PEM) to trust besides the system's own.", valueName: "file"),
        completion: .file())
    var caCertificate: String?

    @Option(help: ArgumentHelp("How often a call that failed for the moment is made again.", valueName: "N"))
    var retries = 9

    @Option(
        help: ArgumentHelp(
            "How long a connection may stand still before the call is made again; ten times as long where the store completes or "
                + "copies an object.", valueName: "seconds"))
    var timeout = 30.0

    @OptionGroup var shared: SharingArguments

    static let explanation = """
        Stores: OSS (oss://), S3 (s3://), and directories. --endpoint says where; without it OSS_ENDPOINT, or AWS_ENDPOINT_URL \
        for s3://, or ~/.ossutilconfig, or the public endpoint of the region. Keys come from the flags, from OSS_ACCESS_KEY_ID, \
        OSS_ACCESS_KEY_SECRET and OSS_SESSION_TOKEN (AWS_ACCESS_KEY_ID and so on for s3://), or from ~/.ossutilconfig. Where \
        nothing of this is set, oss:// is a directory of Lathe's own (~/.local/share/lathe/store).
        """

    func validate() throws {
        guard (0...1000).contains(retries) else {
            throw ValidationError("--retries \(retries) can't be had; it is a number from 0 to 1000.")
        }
        guard (0.1...3600).contains(timeout) else {
            throw ValidationError("--timeout \(timeout) can't be had; it is a number of seconds from 0.1 to 3600.")
        }
    }

    /// Opens a bucket, with retries around it.
    ///
    /// - Parameters:
    ///   - creating: makes the bucket where the store is a directory that has none of that name.
    ///   - onRetry: is told each error that is followed by another try.
    ///   - flushing: whether a store that is a directory has what it answers on its disk.
    func open(
        _ location: StoreLocation, creating: Bool = false, flushing: Bool = true,
        cancellation: CancellationFlag? = nil,
        onRetry: @escaping @Sendable (StoreError) -> Void = { Rendering.note("lathe: \($0); trying again") }
    ) throws(ImageError) -> any ObjectStore {
        do throws(StoreError) {
            return RetryingStore(
                try bucket(location, creating: creating, flushing: flushing),
                policy: RetryPolicy(attempts: retries + 1),
                isCancelled: { cancellation?.isCancelled ?? false }, onRetry: onRetry)
        } catch {
            throw error.imageError
        }
    }

    /// Removes what killed processes left in a store that is a directory, other than uploads; other stores see to it themselves.
    func sweep(_ location: StoreLocation, olderThan seconds: UInt64) throws(ImageError) {
        do throws(StoreError) {
            guard let directory = try bucket(location, creating: false) as? DirectoryBucket else { return }
            _ = try directory.sweep(olderThan: seconds)
        } catch {
            throw error.imageError
        }
    }

    /// Opens a bucket, without retries.
    func bucket(_ location: StoreLocation, creating: Bool, flushing: Bool = true) throws(StoreError)
        -> any ObjectStore
    {
        let settings = try settings(location.scheme)
        if let path = try directory(location.scheme, settings, creating: creating) {
            let store = try DirectoryStore(path: path, creating: creating, flushing: flushing)
            let name = try BucketName(location.bucket)
            return creating ? try store.ensureBucket(name) : try store.bucket(name)
        }
        let connection = ConnectionOptions(
            connectTimeout: min(10, timeout), idleTimeout: timeout, completionTimeout: timeout * 10,
            caCertificatePath: caCertificate)
        switch location.scheme {
        case .oss:
            return try OSSBucket(
                location.bucket,
                OSSConfiguration(
                    endpoint: settings.endpoint, region: settings.region, addressing: addressing,
                    signature: signatureVersion, sendsContentMD5: contentMD5, connection: connection),
                settings.credentials)
        case .s3:
            return try S3Bucket(
                location.bucket,
                S3Configuration(
                    endpoint: settings.endpoint, region: settings.region, addressing: addressing,
                    connection: connection),
                settings.credentials)
        }
    }

    private typealias Settings = (credentials: Credentials?, endpoint: String?, region: String?)

    /// Who asks and where the store is, from the first place that says it.
    private func settings(_ scheme: StoreLocation.Scheme) throws(StoreError) -> Settings {
        let environment = ProcessInfo.processInfo.environment
        for path in [caCertificate, CredentialSources.configurationPath(environment: environment)].compactMap({ $0 }) {
            CommandFiles.inUse.noteRead(path: path, "what this command reads keys or certificates from")
        }
        let given = StoreSettings(
            accessKeyID: accessKeyID, accessKeySecret: accessKeySecret, securityToken: securityToken,
            endpoint: endpoint, region: region)
        return try CredentialSources.resolve(
            given: given, variables: scheme == .oss ? .oss : .s3, environment: environment,
            configurationPath: scheme == .oss
                ? CredentialSources.configurationPath(environment: environment) : nil)
    }

    /// A bucket whose objects are files of this machine.
    ///
    /// - Returns: nil where it is reached over a network, or is not there.
    func directoryBucket(_ location: StoreLocation) throws(ImageError) -> DirectoryBucket? {
        do throws(StoreError) {
            let settings = try settings(location.scheme)
            guard let path = try? directory(location.scheme, settings, creating: false) else { return nil }
            return try? DirectoryStore(path: path, creating: false).bucket(BucketName(location.bucket))
        } catch {
            throw error.imageError
        }
    }

    /// The directory that is the store; nil where the store is reached over a network.
    ///
    /// - Parameter creating: whether it may be one that is not there.
    private func directory(
        _ scheme: StoreLocation.Scheme, _ settings: Settings, creating: Bool
    ) throws(StoreError) -> String? {
        if let endpoint = settings.endpoint {
            guard Self.isDirectory(endpoint) else { return nil }
            guard unsafe creating || access(PathText.terminated(endpoint), F_OK) == 0 else {
                throw StoreError(
                    .invalidRequest,
                    "the endpoint '\(endpoint)' is taken for a directory, and there is none of that name; a host is written with "
                        + "its scheme, as http://\(endpoint)")
            }
            return endpoint
        }
        guard scheme == .oss, settings.credentials == nil, settings.region == nil else { return nil }
        let path: String
        do throws(ImageError) { path = try StateDirectory.storePath(creating: creating) } catch {
            throw StoreError(.invalidRequest, error.message)
        }
        guard unsafe creating || access(PathText.terminated(path), F_OK) == 0 else {
            throw StoreError(
                .noSuchBucket,
                "no store is named (--endpoint, --region or a key), and Lathe's own, to which 'lathe export' writes, is not there",
                operation: path)
        }
        return path
    }

    /// Whether an endpoint is a path and not the name of a host, with or without a scheme.
    static func isDirectory(_ endpoint: String) -> Bool {
        if endpoint.contains("://") { return false }
        if endpoint.contains("/") || endpoint.hasPrefix(".") { return true }
        var status = stat()
        if unsafe stat(PathText.terminated(endpoint), &status) == 0 { return true }
        return !endpoint.contains(".") && !endpoint.contains(":")
    }
}
