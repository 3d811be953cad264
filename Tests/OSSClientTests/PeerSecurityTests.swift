import Glibc
import LatheTestSupport
import OSSClient
import OSSWire
import ObjectStorage
import Testing

/// Servers that look at signatures and certificates.
@Suite struct PeerSecurityTests {
    private func expectDenied(
        _ store: S3Bucket, _ what: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        defer { store.shutdown() }
        let key = try ObjectKey("k")
        for body in [{ _ = try store.list(prefix: "", after: nil, count: 1) }] as [() throws -> Void] + [
            { _ = try store.put(ObjectBody([1]), to: key, .init(), replacing: true) },
            { _ = try store.head(key) },
        ] {
            let error = #expect(throws: StoreError.self, "\(what)", sourceLocation: sourceLocation) { try body() }
            #expect(
                error?.code == .accessDenied && error?.isTransient == false, "\(what): \(String(describing: error))",
                sourceLocation: sourceLocation)
            #expect(error?.description.contains("ecret01") == false, sourceLocation: sourceLocation)
        }
    }

    private static let wrongSecret = Credentials(
        accessKeyID: PeerServer.credentials.accessKeyID, accessKeySecret: "anotherSecret0123456789")
    private static let wrongKey = Credentials(
        accessKeyID: "another", accessKeySecret: PeerServer.credentials.accessKeySecret)

    @Test(.requiresPeer("weed")) func seaweedFSRefusesWrongSignatures() throws {
        let server = try PeerServer.seaweedFS(checksSignatures: true)
        try server.s3().shutdown()
        try expectDenied(server.s3Unmade(Self.wrongSecret), "a wrong secret")
        try expectDenied(server.s3Unmade(Self.wrongKey), "a wrong key")
        try expectDenied(server.s3Unmade(nil), "no signature")
    }

    @Test(.requiresPeer("rclone")) func rcloneRefusesWrongSignatures() throws {
        let server = try PeerServer.rclone()
        try server.s3().shutdown()
        try expectDenied(server.s3Unmade(Self.wrongSecret), "a wrong secret")
        try expectDenied(server.s3Unmade(Self.wrongKey), "a wrong key")
        // What it does not find, it calls an unsupported algorithm.
        let unsigned = try server.s3Unmade(nil)
        let error = #expect(throws: StoreError.self) { try unsigned.list(prefix: "", after: nil, count: 1) }
        #expect(error?.isTransient == false && error?.status == 400, "\(String(describing: error))")
        unsigned.shutdown()
    }

    @Test(.requiresPeer("weed")) func aBucketThatIsNotThereIsNamedSo() throws {
        let server = try PeerServer.seaweedFS(checksSignatures: true)
        try server.s3().shutdown()
        let store = try server.s3Unmade(PeerServer.credentials, "absent-bucket")
        defer { store.shutdown() }
        let error = #expect(throws: StoreError.self) { try store.list(prefix: "", after: nil, count: 1) }
        #expect(error?.code == .noSuchBucket, "\(String(describing: error))")
    }

    /// An authority of our own and a certificate of it for 127.0.0.1, as PEM.
    private static let makeCertificates = """
        import datetime, ipaddress, sys
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        directory, address = sys.argv[1:]
        now = datetime.datetime.now(datetime.timezone.utc)
        def make(name, issuer, issuer_key, extension):
            key = ec.generate_private_key(ec.SECP256R1())
            subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
            builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or subject)
            builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
            builder = builder.not_valid_before(now - datetime.timedelta(days=1))
            builder = builder.not_valid_after(now + datetime.timedelta(days=1))
            certificate = builder.add_extension(*extension).sign(issuer_key or key, hashes.SHA256())
            return key, certificate
        authority_key, authority = make('Lathe tests', None, None, (x509.BasicConstraints(True, None), True))
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        key, certificate = make('a peer', authority.subject, authority_key, (names, False))
        pem = serialization.Encoding.PEM
        open(directory + '/ca.pem', 'wb').write(authority.public_bytes(pem))
        open(directory + '/server.pem', 'wb').write(certificate.public_bytes(pem))
        open(directory + '/server.key', 'wb').write(key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        """

    private func secureServer(for address: String) throws -> (PeerServer, caCertificate: String, TemporaryDirectory) {
        let directory = try TemporaryDirectory()
        _ = try PeerPrograms.python(Self.makeCertificates, [directory.path, address])
        let server = try PeerServer.moto(secure: (directory.file("server.pem"), directory.file("server.key")))
        return (server, directory.file("ca.pem"), directory)
    }

    private func store(_ server: PeerServer, caCertificate: String?) throws -> S3Bucket {
        let options = ConnectionOptions(caCertificatePath: caCertificate)
        return try S3Bucket(
            "lathe-test", S3Configuration(endpoint: server.endpoint, connection: options), PeerServer.credentials)
    }

    @Test(.requiresPeer("moto_server")) func anAuthorityThatIsNamedIsTrustedAndNoOther() throws {
        let (server, caCertificate, directory) = try secureServer(for: "127.0.0.1")
        let trusted = try store(server, caCertificate: caCertificate)
        try server.ready { try trusted.createBucket() }
        let key = try ObjectKey("k")
        let bytes = SampleDisk.numbered(length: 6 << 20, seed: 1)
        _ = try trusted.put(ObjectBody(bytes), to: key, .init(), replacing: true)
        let isSame = try trusted.get(key, range: 0..<UInt64(bytes.count), tag: nil) == bytes
        #expect(isSame)
        trusted.shutdown()
        let untrusted = try store(server, caCertificate: nil)
        let error = #expect(throws: StoreError.self) { try untrusted.head(key) }
        #expect(error?.code == .connection && error?.isTransient == false, "\(String(describing: error))")
        #expect(error?.message.contains("not trusted") == true, "\(String(describing: error))")
        untrusted.shutdown()
        _ = directory
    }

    @Test(.requiresPeer("moto_server")) func aCertificateForAnotherNameIsNotTaken() throws {
        let (server, caCertificate, directory) = try secureServer(for: "127.0.0.2")
        let store = try store(server, caCertificate: caCertificate)
        var error: StoreError?
        // Until the server is there.
        for _ in 0..<300 where error?.isTransient ?? true {
            error = #expect(throws: StoreError.self) { try store.createBucket() }
            usleep(100_000)
        }
        #expect(error?.code == .connection && error?.isTransient == false, "\(String(describing: error))")
        store.shutdown()
        _ = directory
    }
}
