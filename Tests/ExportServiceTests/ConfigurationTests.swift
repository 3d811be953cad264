import ECSWire
import ExportService
import Testing

/// The configuration file.
@Suite struct ConfigurationTests {
    private let fixture: Fixture
    private var state: ServiceState { fixture.state }

    init() throws { fixture = try Fixture() }

    private static let full = """
        regions:
          - {id: cn-hangzhou, localName: Hangzhou, endpoint: "10.0.0.5:8080", supportsExport: true}
        accounts:
          - name: build
            id: 1234567890123456
            mayExport: true
            exportsDataDisks: false
            quotas: {concurrentExports: 2, weeklyExports: 50}
            keys:
              - {id: LTAI5tGiven, secret: "given-secret"}
              - {id: LTAI5tFile, secretFile: keys/secret, active: false}
              - {id: LTAI5tMadeUp}
            policies:
              - name: ReleaseOnly
                document:
                  Version: 1
                  Statement:
                    - Effect: Allow
                      Action: "oss:*"
                      Resource: ["acs:oss:*:*:release", "acs:oss:*:*:release/*"]
            roles:
              - name: AliyunECSImageExportDefaultRole
                policies: [AliyunECSImageExportRolePolicy, ReleaseOnly]
                maxSessionSeconds: 7200
            buckets:
              - {name: release, region: cn-hangzhou}
            images:
              - id: m-debian12
                name: debian-12
                region: cn-hangzhou
                status: Deprecated
                productCode: cmjj01
                disks:
                  - {path: disks/debian.qcow2}
                  - {path: /srv/home.vhd, format: vhd, device: /dev/xvdf, encrypted: true}
        """

    private func read(_ text: String) throws -> ServiceConfiguration {
        try ServiceConfiguration(text, relativeTo: "/etc/lathe") { (path) throws(StateError) in
            guard path == "/etc/lathe/keys/secret" else { throw StateError(.invalid, "no such file") }
            return "secret-of-a-file"
        }
    }

    private func apply(_ text: String) throws -> AppliedConfiguration {
        let configuration = try read(text)
        var facts: [ServiceConfiguration.DiskFile: DiskFacts] = [:]
        for file in configuration.diskFiles {
            facts[file] = DiskFacts(format: file.format ?? "qcow2", virtualSize: 1 << 20)
        }
        return try state.apply(configuration, facts: facts)
    }

    @Test func aFileMakesAllThatItNamesAndTheSecondTimeNothing() throws {
        let applied = try apply(Self.full)
        #expect(
            applied.changes.map(\.what) == [
                "region", "account", "key", "key", "key", "policy", "role", "bucket", "image",
            ])
        #expect(applied.changes.allSatisfy { $0.kind == .made })
        #expect(applied.madeKeys.map(\.id) == ["LTAI5tMadeUp"])
        let account = try #require(try state.account("1234567890123456"))
        #expect(account.name == "build" && !account.exportsDataDisks)
        #expect(account.concurrentExports == 2 && account.weeklyExports == 50)
        #expect(try state.signingKey("LTAI5tGiven")?.secret == "given-secret")
        #expect(try state.signingKey("LTAI5tFile") == nil)
        #expect(try state.keys().first { $0.id == "LTAI5tFile" }?.secret == "secret-of-a-file")
        #expect(try state.signingKey("LTAI5tMadeUp")?.secret == applied.madeKeys[0].secret)
        let role = try #require(try state.roles(ofAccount: account.id).first)
        #expect(role.policyNames == ["AliyunECSImageExportRolePolicy", "ReleaseOnly"])
        #expect(role.role.maxSessionSeconds == 7200)
        let image = try #require(try state.image("m-debian12"))
        #expect(image.image.status == .deprecated && image.image.productCode == "cmjj01")
        #expect(image.disks.map(\.path) == ["/etc/lathe/disks/debian.qcow2", "/srv/home.vhd"])
        #expect(image.disks.map(\.device) == ["/dev/xvda", "/dev/xvdf"])
        #expect(image.disks.map(\.isEncrypted) == [false, true])
        #expect(image.disks.map(\.format) == ["qcow2", "vhd"])

        fixture.clock.advance(60)
        let again = try apply(Self.full)
        #expect(again.changes.isEmpty && again.madeKeys.isEmpty)
        #expect(try state.image("m-debian12") == image)
    }

    @Test func whatAFileSaysDifferentlyIsChangedAndTheRestStays() throws {
        _ = try apply(Self.full)
        try state.makeAccount(name: "other")
        let changed = try apply(
            """
            {"accounts": [{"name": "build", "quotas": {"concurrentExports": 3},
              "keys": [{"id": "LTAI5tMadeUp", "active": false}],
              "roles": [{"name": "AliyunECSImageExportDefaultRole", "policies": ["ReleaseOnly"]}],
              "images": [{"name": "debian-12", "region": "cn-hangzhou", "productCode": "",
                "disks": [{"path": "new.qcow2"}]}]}]}
            """)
        #expect(changed.changes.map(\.what) == ["account", "key", "role", "image"])
        #expect(changed.changes.allSatisfy { $0.kind == .changed })
        #expect(try state.account("1234567890123456")?.weeklyExports == 50)
        #expect(try state.account("1234567890123456")?.concurrentExports == 3)
        #expect(try state.signingKey("LTAI5tMadeUp") == nil)
        #expect(try state.roles().map(\.policyNames) == [["ReleaseOnly"]])
        let image = try #require(try state.image("m-debian12"))
        #expect(image.image.productCode == nil && image.image.status == .deprecated)
        #expect(image.disks.map(\.path) == ["/etc/lathe/new.qcow2"])
        #expect(try state.accounts().count == 2)
    }

    @Test func anErrorLeavesNothingBehind() throws {
        let failure = message { _ = try apply(Self.full + "\n      - {name: two, region: cn-hangzhou, disks: []}") }
        #expect(failure.contains("accounts[0].images[1]"), "\(failure)")
        #expect(try state.accounts().isEmpty && state.regions().isEmpty && state.keys().isEmpty)
    }

    @Test func whatIsAnotherAccountsIsNotTaken() throws {
        _ = try apply(Self.full)
        for part in [
            #""keys": [{"id": "LTAI5tGiven"}]"#, #""buckets": [{"name": "release", "region": "cn-hangzhou"}]"#,
            #""images": [{"id": "m-debian12", "name": "x1", "region": "cn-hangzhou", "disks": [{"path": "a"}]}]"#,
        ] {
            #expect(code { _ = try apply(#"{"accounts": [{"name": "thief", \#(part)}]}"#) } == .exists)
        }
        #expect(try state.accounts().map(\.name) == ["build"])
    }

    @Test(arguments: [
        ("accounts: [{name: a, quota: {}}]", "accounts[0].quota"), ("region: []", "region"),
        ("accounts: [{name: a, keys: [{id: k, sekret: x}]}]", "accounts[0].keys[0].sekret"),
        ("accounts: [{name: a, quotas: {weekly: 1}}]", "accounts[0].quotas.weekly"),
        ("accounts: [{}]", "accounts[0].id"), ("accounts: {}", "accounts"), ("accounts: [1]", "accounts[0]"),
        ("accounts: [{name: a, mayExport: no}]", "accounts[0].mayExport"),
        ("accounts: [{name: a, quotas: {weeklyExports: many}}]", "accounts[0].quotas.weeklyExports"),
        ("accounts: [{name: a, quotas: {weeklyExports: 1.5}}]", "accounts[0].quotas.weeklyExports"),
        ("accounts: [{name: a, quotas: {weeklyExports: 99999999999999999999}}]", "accounts[0].quotas.weeklyExports"),
        ("accounts: [{name: a, quotas: {weeklyExports: -1}}]", "accounts[0]"),
        ("accounts: [{name: a, images: [{name: x, region: r, status: Fine}]}]", "accounts[0].images[0].status"),
        ("accounts: [{name: a, images: [{name: x, region: r, disks: [{}]}]}]", "accounts[0].images[0].disks[0].path"),
        ("accounts: [{name: a, roles: [{name: r, policies: [1]}]}]", "accounts[0].roles[0].policies[0]"),
        ("accounts: [{name: a, roles: [{name: r, policies: [absent]}]}]", "accounts[0].roles[0]"),
        ("accounts: [{name: a, roles: [{name: r, trustPolicy: {}}]}]", "accounts[0].roles[0]"),
        ("accounts: [{name: a, policies: [{name: p}]}]", "accounts[0].policies[0].document"),
        ("accounts: [{name: a, buckets: [{name: B, region: r}]}]", "accounts[0].buckets[0]"),
        ("accounts: [{name: a, keys: [{id: key1, secretFile: absent}]}]", "accounts[0].keys[0].secretFile"),
        (
            "accounts: [{name: a, keys: [{id: key1, secret: abcdefgh, secretFile: keys/secret}]}]",
            "accounts[0].keys[0].secretFile"
        ),
    ]) func anErrorNamesTheField(_ text: String, _ path: String) throws {
        let failure = message { _ = try apply(text) }
        #expect(failure.hasPrefix(path + ":"), "\(failure)")
        #expect(try state.accounts().isEmpty)
    }

    /// Ten lines that stand for 10⁹ texts.
    private static let laughs =
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + (1..<9).map { "a\($0): &a\($0) [\(Array(repeating: "*a\($0 - 1)", count: 10).joined(separator: ", "))]\n" }
        .joined()

    /// A file that somebody made to do harm, under a short name for reports.
    struct Hostile: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var text: String
        var word: String

        init(_ name: String, _ text: String, _ word: String) {
            (testDescription, self.text, self.word) = (name, text, word)
        }
    }

    @Test(
        .timeLimit(.minutes(1)),
        arguments: [
            Hostile("laughs", laughs, "anchor"), Hostile("an alias as a name", laughs + "? *a8\n: 1\n", "anchor"),
            Hostile("an anchor", "accounts: [{name: &n a, id: *n}]", "anchor"),
            Hostile("brackets", String(repeating: "[", count: 100_000), "YAML"),
            Hostile("items", String(repeating: "- ", count: 100_000), "YAML"),
            Hostile(
                "braces", "a: " + String(repeating: "{a: ", count: 900) + String(repeating: "}", count: 900),
                "stand in each other"),
            Hostile("JSON objects", String(repeating: "{\"a\":", count: 100_000), "stand in each other"),
            Hostile("comments", String(repeating: "# a comment of which there is too much\n", count: 150_000), "bytes"),
            Hostile("many values", "regions: [\(String(repeating: "1,", count: 250_000))]", "values"),
            Hostile("a name twice", "a: 1\na: 2", "twice"), Hostile("a name twice in JSON", #"{"a":1,"a":2}"#, "twice"),
            Hostile("binary", "accounts: !!binary aGk=", "tags"), Hostile("a tag", "accounts: [{name: !x a}]", "tags"),
            Hostile("two documents", "--- {}\n--- {}", "document"),
            Hostile("a list as a name", "[a]: 1", "name is not a text"),
            Hostile("a zero byte", "\u{0}", "YAML"), Hostile("half an escape", "a: \"\\", "YAML"),
            Hostile("half a character", "{\"a\": \"\\ud800\"}", "JSON"),
            Hostile("an octal number", "{\"a\": 01}", "JSON"),
        ]) func aHostileFileIsAnErrorInTime(_ hostile: Hostile) throws
    {
        let failure = message { _ = try apply(hostile.text) }
        #expect(failure.contains(hostile.word), "\(failure.prefix(300))")
        #expect(failure.utf8.count < 1000)
    }

    @Test func anErrorOfTheParserShowsNothingOfTheFile() throws {
        let failure = message { _ = try apply("accounts:\n  - keys: [{id: k, secret: hidden-text\n  - x") }
        #expect(failure.contains("line"), "\(failure)")
        #expect(!failure.contains("hidden-text"), "\(failure)")
    }

    @Test(arguments: ["", "# nothing\n", "{}", "regions: []\naccounts:\n"]) func aFileWithoutAnythingChangesNothing(
        _ text: String
    ) throws {
        #expect(try apply(text).changes.isEmpty)
    }

    @Test func textsAreReadAsTheyAreMeant() throws {
        _ = try apply(#"regions: [{id: no, localName: "a \u0026b"}, {id: 007, localName: 'it''s'}]"#)
        _ = try apply(##"{"regions": [{"id": "json", "localName": "\ud83d\ude00 \"\u00e4\""}]}"##)
        #expect(try state.regions().map(\.id) == ["007", "json", "no"])
        #expect(try state.regions().map(\.localName) == ["it's", "😀 \"ä\"", "a &b"])
    }
}
