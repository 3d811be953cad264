import Foundation
import LatheTestSupport
import OSSClient
import OSSWire
import ObjectStorage

/// A server of S3 that is not ours, on a free port of 127.0.0.1, in a directory of its own; it ends with its owner.
final class PeerServer: Sendable {
    static let credentials = Credentials(accessKeyID: "latheTestKey", accessKeySecret: "latheTestSecret0123456789")

    let endpoint: String
    let directory: TemporaryDirectory
    private let process: PeerProcess

    private init(
        _ directory: TemporaryDirectory, scheme: String = "http", port: Int, _ program: String, _ arguments: [String],
        environment: [String: String] = [:]
    ) throws {
        self.directory = directory
        endpoint = "\(scheme)://127.0.0.1:\(port)"
        process = try PeerProcess([PeerPrograms.path(program)] + arguments, environment: environment)
    }

    deinit { process.end() }

    /// SeaweedFS, with one bucket in it.
    ///
    /// - Parameter checksSignatures: whether it knows `credentials` and refuses all else; without, it takes anything.
    static func seaweedFS(checksSignatures: Bool) throws -> PeerServer {
        let directory = try TemporaryDirectory()
        let ports = try (0..<8).map { _ in try freePort() }
        var arguments = [
            "server", "-dir=\(directory.path)", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.port=\(ports[0])",
            "-master.port.grpc=\(ports[1])", "-volume.port=\(ports[2])", "-volume.port.grpc=\(ports[3])",
            "-filer.port=\(ports[4])", "-filer.port.grpc=\(ports[5])", "-s3", "-s3.port=\(ports[6])",
            "-s3.port.grpc=\(ports[7])", "-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=20",
            "-master.volumeSizeLimitMB=64", "-iam=false", "-s3.iam=false",
        ]
        if checksSignatures {
            let configuration = """
                {"identities": [{"name": "lathe", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                  "credentials": [{"accessKey": "\(credentials.accessKeyID)",
                                   "secretKey": "\(credentials.accessKeySecret)"}]}]}
                """
            let path = directory.file("s3.json")
            try Data(configuration.utf8).write(to: URL(filePath: path))
            arguments.append("-s3.config=\(path)")
        }
        return try PeerServer(directory, port: ports[6], "weed", arguments)
    }

    /// rclone, which checks signatures of `credentials`, over a directory.
    static func rclone() throws -> PeerServer {
        let directory = try TemporaryDirectory()
        let port = try freePort()
        return try PeerServer(
            directory, port: port, "rclone",
            [
                "serve", "s3", "--addr", "127.0.0.1:\(port)", "--auth-key",
                "\(credentials.accessKeyID),\(credentials.accessKeySecret)", "--config", directory.file("none"),
                directory.path,
            ])
    }

    /// moto, which checks no signatures.
    ///
    /// - Parameter secure: over TLS, with a certificate and key for 127.0.0.1 in these files.
    static func moto(secure: (certificate: String, key: String)? = nil) throws -> PeerServer {
        let directory = try TemporaryDirectory()
        let port = try freePort()
        var arguments = ["-H", "127.0.0.1", "-p", "\(port)"]
        if let secure { arguments += ["-s", "-c", secure.certificate, "-k", secure.key] }
        return try PeerServer(
            directory, scheme: secure == nil ? "http" : "https", port: port, "moto_server", arguments,
            environment: ["S3_UPLOAD_PART_MIN_SIZE": "1", "MOTO_S3_DEFAULT_MAX_KEYS": "1000"])
    }

    /// What the server prints, for a test that fails.
    var log: String { "\(process.output.suffix(3000))\n\(process.errors.suffix(3000))" }

    /// Asks until the server is there and has made a bucket.
    ///
    /// - Throws: the last error after a minute, or where the server has ended.
    func ready(_ create: () throws -> Void) throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while true {
            do { return try create() } catch {
                guard process.isRunning, ContinuousClock.now < deadline else {
                    throw PeerError("the peer is not there: \(error)\n\(log)")
                }
                usleep(100_000)
            }
        }
    }

    /// The bucket `lathe-test`, made.
    func s3(_ credentials: Credentials = credentials) throws -> S3Bucket {
        let bucket = try s3Unmade(credentials)
        try ready { try bucket.createBucket() }
        return bucket
    }

    func s3Unmade(_ credentials: Credentials?, _ name: String = "lathe-test") throws -> S3Bucket {
        try S3Bucket(name, S3Configuration(endpoint: endpoint), credentials)
    }

    func oss(_ signature: OSSConfiguration.SignatureVersion, _ credentials: Credentials = credentials) throws
        -> OSSBucket
    {
        let bucket = try OSSBucket(
            "lathe-test", OSSConfiguration(endpoint: endpoint, region: "cn-hangzhou", signature: signature), credentials
        )
        try ready { try bucket.createBucket() }
        return bucket
    }
}
