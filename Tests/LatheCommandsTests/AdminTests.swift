import Foundation
import LatheTestSupport
import Testing

/// `lathe admin`.
@Suite struct AdminTests {
    private let service: ServiceDirectory

    init() throws { service = try ServiceDirectory() }

    @Test func whatIsSetUpIsListed() throws {
        try service.begin()
        let account = try service.json("admin", "account", "set", "build", "--data-disks", "no", "--may-export", "no")
        #expect(account["mayExport"] == .flag(false) && account["exportsDataDisks"] == .flag(false))
        let quota = try service.json("admin", "quota", "set", "--concurrent", "2", "--weekly", "50")
        #expect(quota["concurrentExports"] == .number(2) && quota["weeklyExports"] == .number(50))
        #expect(try service.json("admin", "account", "list").elements == [quota])
        #expect(try service.json("admin", "quota", "list").elements == [quota])
        #expect(try service.json("admin", "region", "list").elements.map { $0["localName"] } == [.text("Hangzhou")])

        let bucket = try service.json("admin", "bucket", "create", "release", "--region", "cn-hangzhou")
        #expect(try service.json("admin", "bucket", "list").elements == [bucket])
        #expect(FileManager.default.fileExists(atPath: service.path + "/objects/release"))
        _ = try service.json("admin", "bucket", "create", "cloud", "--region", "cn-hangzhou", "--elsewhere")
        #expect(!FileManager.default.fileExists(atPath: service.path + "/objects/cloud"))
        #expect(try service.json("admin", "bucket", "list", "--account", "build").elements.count == 2)

        let table = try service.run("admin", "bucket", "list")
        #expect(
            table.lines == [
                "NAME     ACCOUNT           REGION", "cloud    1234567890123456  cn-hangzhou",
                "release  1234567890123456  cn-hangzhou",
            ])
    }

    @Test func aSecretIsShownWhenItIsMadeAndNeverAgain() throws {
        try service.begin()
        let made = try service.json("admin", "key", "create", "--account", "build")
        let secret = try #require(made["secret"]?.text)
        #expect(secret.count == 30)
        let id = try #require(made["id"]?.text)
        for verb in [["list"], ["disable", id], ["enable", id]] {
            for format in ["human", "json"] {
                let shown = try lathe(
                    ["admin", "key"] + verb + ["--data-directory", service.path, "--output", format])
                #expect(shown.status == 0)
                #expect(shown.text.contains(id) && !shown.text.contains(secret), "\(shown.testDescription)")
            }
        }
        try service.write("brought-secret\n", to: "secret")
        let brought = try service.json("admin", "key", "create", "--id", "LTAI5tOwn", "--secret-file", "secret")
        #expect(brought["id"] == .text("LTAI5tOwn") && brought["secret"] == nil)
        let input = try FileHandle(forReadingFrom: URL(filePath: service.directory.file("secret")))
        let piped = try service.run("admin", "key", "create", "--id", "LTAI5tPiped", "--secret-file", "-", input: input)
        #expect(piped.status == 0 && !piped.text.contains("brought-secret"), "\(piped.testDescription)")
        #expect(try service.json("admin", "key", "remove", "LTAI5tOwn") == .object(["removed": .text("LTAI5tOwn")]))
        #expect(try service.json("admin", "key", "list").elements.count == 2)
    }

    @Test func aRoleHasThePoliciesThatItIsGiven() throws {
        try service.begin()
        let role = try service.json("admin", "role", "set", "AliyunECSImageExportDefaultRole")
        #expect(role["trustPolicy"]?.text?.contains("ecs.aliyuncs.com") == true)
        #expect(role["policies"] == .list([]))
        let name = "AliyunECSImageExportRolePolicy"
        let attached = try service.json("admin", "role", "attach", "AliyunECSImageExportDefaultRole", name)
        #expect(attached["policies"] == .list([.text(name)]))
        let document = #"{"Version":"1","Statement":[{"Effect":"Allow","Action":"oss:*","Resource":"*"}]}"#
        try service.write(document, to: "policy.json")
        let policy = try service.json("admin", "policy", "set", "All", "policy.json")
        #expect(policy["document"] == .text(document))
        #expect(try service.json("admin", "policy", "show", "all") == policy)
        #expect(try service.json("admin", "policy", "list").elements.count == 2)
        let held = try service.run("admin", "policy", "remove", name)
        #expect(held.status == 1 && held.errors.contains("detach it first"), "\(held.testDescription)")
        _ = try service.json("admin", "role", "detach", "AliyunECSImageExportDefaultRole", name)
        _ = try service.json("admin", "policy", "remove", name)
        _ = try service.json("admin", "role", "remove", "AliyunECSImageExportDefaultRole")
        #expect(try service.json("admin", "role", "list") == .list([]))
    }

    @Test func aPolicyThatWouldGrantTooMuchIsRefused() throws {
        try service.begin()
        try service.write(
            #"{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{}}]}"#,
            to: "policy.json")
        let outcome = try service.run("admin", "policy", "set", "All", "policy.json")
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("Condition") && outcome.errors.split(separator: "\n").count == 1)
        #expect(try service.json("admin", "policy", "list") == .list([]))
    }

    private static let file = """
        regions: [{id: cn-hangzhou}]
        accounts:
          - name: build
            keys: [{id: LTAI5tMade}, {id: LTAI5tOwn, secretFile: secret}]
            roles: [{name: AliyunECSImageExportDefaultRole, policies: [AliyunECSImageExportRolePolicy]}]
            buckets: [{name: release, region: cn-hangzhou}]
            images: [{id: m-1, name: debian-12, region: cn-hangzhou, disks: [{path: disk.raw}]}]
        """

    @Test func aFileIsAppliedAndTheSecondTimeNothingChanges() throws {
        try service.write(Self.file, to: "service.yaml")
        try service.write("brought-secret", to: "secret")
        try service.writeDisk("disk.raw", bytes: 3 << 20)
        let applied = try service.json("admin", "apply", "service.yaml")
        #expect(applied["changes"]?.elements.count == 7)
        #expect(applied["keys"]?.elements.map { $0["id"] } == [.text("LTAI5tMade")])
        #expect(applied["keys"]?.elements.first?["secret"]?.text?.count == 30)
        let image = try service.json("image", "show", "m-1")
        #expect(image["disks"]?.elements.map { $0["virtualSize"] } == [.number(3 << 20)])
        #expect(image["disks"]?.elements.map { $0["path"] } == [.text(service.directory.file("disk.raw"))])
        #expect(FileManager.default.fileExists(atPath: service.path + "/objects/release"))
        let again = try service.run("admin", "apply", "service.yaml")
        #expect(again.text == "everything is so already\n", "\(again.testDescription)")
    }

    /// Who copies the example out of the help has a file that works.
    @Test func theExampleOfTheHelpIsAFileThatIsTaken() throws {
        let help = try lathe(["admin", "apply", "--help"], environment: ["COLUMNS": "80"]).lines
        let start = try #require(help.firstIndex { $0.hasPrefix("Example, with every field") })
        let end = try #require(help.firstIndex { $0.hasPrefix("USAGE:") })
        let example = help[(start + 1)..<end].map { String($0.dropFirst(2)) }
        #expect(example.count > 40)
        try service.write(example.joined(separator: "\n"), to: "service.yaml")
        try service.write("brought-secret", to: "secret.txt")
        try service.writeDisk("debian.img")
        try service.writeDisk("plain.raw")
        let converted = try LatheBinary.start(
            ["convert", "-O", "qcow2", "plain.raw", "data.qcow2"], directory: service.directory.path
        ).outcome()
        #expect(converted.status == 0, "\(converted.testDescription)")
        #expect(try service.json("admin", "apply", "service.yaml")["changes"]?.elements.count == 7)
        #expect(try service.json("image", "show", "m-debian12")["disks"]?.elements.count == 2)
    }

    @Test func aFileWithAMistakeChangesNothing() throws {
        try service.begin()
        try service.write("accounts: [{name: other}, {name: third, quota: 1}]", to: "service.yaml")
        let outcome = try service.run("admin", "apply", "service.yaml")
        #expect(outcome.status == 1)
        #expect(outcome.errors.hasPrefix("lathe: accounts[1].quota: "), "\(outcome.testDescription)")
        #expect(try service.json("admin", "account", "list").elements.count == 1)
        let absent = try service.run("admin", "apply", "absent.yaml")
        #expect(absent.status == 1 && absent.errors.contains("absent.yaml"), "\(absent.testDescription)")
    }

    @Test func aDirectoryWithoutAServiceIsAnErrorAndStaysSo() throws {
        for verb in [["admin", "account", "list"], ["image", "list"], ["admin", "key", "create"]] {
            let outcome = try lathe(verb + ["--data-directory", service.path])
            #expect(outcome.status == 1)
            #expect(outcome.errors.contains("there is no service here"), "\(outcome.testDescription)")
        }
        #expect(try service.directory.contents.isEmpty)
    }

    @Test(arguments: [
        ["account", "create"], ["account", "create", "--name", "a", "--id"], ["account", "set", "build"],
        ["account", "set", "build", "--may-export", "perhaps"], ["quota", "set"], ["bucket", "create", "release"],
        ["key", "create", "--secret", "visible"], ["apply"], ["role", "attach", "one"],
    ]) func aWrongCommandLineIsExit64(_ arguments: [String]) throws {
        let outcome = try lathe(["admin"] + arguments + ["--data-directory", service.path])
        #expect(outcome.status == 64, "\(outcome.testDescription)")
        #expect(try service.directory.contents.isEmpty)
    }

    @Test func withoutADirectoryItIsThatOfTheUser() throws {
        let home = service.directory.file("data")
        let outcome = try lathe(
            ["admin", "account", "create", "--name", "build"], environment: ["XDG_DATA_HOME": home])
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        #expect(FileManager.default.fileExists(atPath: home + "/lathe/service/lathe.db"))
    }

    /// The second of two processes waits for the first.
    @Test func severalProcessesWorkOnItAtOnce() throws {
        let processes = try (0..<4).map { number in
            try LatheBinary.start([
                "admin", "account", "create", "--name", "a\(number)", "--data-directory", service.path,
            ])
        }
        for process in processes {
            let outcome = try process.outcome()
            #expect(outcome.status == 0, "\(outcome.testDescription)")
        }
        #expect(try service.json("admin", "account", "list").elements.count == 4)
    }
}
