internal import ArgumentParser
internal import ExportService
internal import FoundationEssentials
internal import ImageModel

struct ApplyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply",
        abstract: "Make things so that they are as a file says.",
        discussion: """
            The file is JSON or YAML. All of it is done, or, on an error, nothing; done twice, the second time changes nothing. \
            What the file does not name stays, but for the policies of a role: those that are listed are all that it has. \
            Paths are relative to the file. A secret that is left out is made up and shown, this once.

            Example, with every field that there is:
              regions:
                - id: cn-hangzhou
                  localName: China (Hangzhou)
                  endpoint: 10.0.0.5:8080
                  supportsExport: true
              accounts:
                - name: build
                  id: "1234567890123456"
                  mayExport: true
                  exportsDataDisks: true
                  quotas: {concurrentExports: 5, weeklyExports: 100}
                  keys:
                    - id: LTAI5tBuildServer
                      secretFile: secret.txt     # or secret, or neither
                      active: true
                  policies:
                    - name: ReleaseBucketOnly
                      document:
                        Version: "1"
                        Statement:
                          - Effect: Allow
                            Action: "oss:*"
                            Resource:
                              - acs:oss:*:*:release-images
                              - acs:oss:*:*:release-images/*
                  roles:
                    - name: AliyunECSImageExportDefaultRole
                      policies: [ReleaseBucketOnly]
                      maxSessionSeconds: 3600
                      trustPolicy:
                        Version: "1"
                        Statement:
                          - Effect: Allow
                            Action: sts:AssumeRole
                            Principal: {Service: [ecs.aliyuncs.com]}
                  buckets:
                    - {name: release-images, region: cn-hangzhou}
                  images:
                    - id: m-debian12
                      name: debian-12
                      region: cn-hangzhou
                      description: Debian 12 for x86
                      status: Available
                      osType: linux
                      architecture: x86_64
                      platform: Debian
                      productCode: ""            # of the marketplace
                      licenseRestriction: ""     # why it is not exported
                      disks:
                        - {path: debian.img, format: raw, encrypted: false}
                        - {path: data.qcow2, device: /dev/xvdb}
            """)

    @Argument(help: "The file; '-' is standard input, with paths relative to where you are.", completion: .file())
    var file: String

    @Flag(help: "The buckets are in the endpoint that 'lathe serve' is given: make none here.")
    var elsewhere = false

    @OptionGroup var place: ServicePlace

    func run() throws {
        try runOnState {
            let directory =
                file == "-" ? WorkingDirectory.path : PathText.directory(of: WorkingDirectory.absolute(file))
            let configuration: ServiceConfiguration
            do throws(StateError) {
                configuration = try ServiceConfiguration(try text(), relativeTo: directory) {
                    (path) throws(StateError) in
                    do throws(ImageError) {
                        return try SmallFile.secret(path)
                    } catch {
                        throw StateError(.invalid, error.description)
                    }
                }
            } catch {
                throw error.subject == nil ? error.naming(file) : error
            }
            var facts: [ServiceConfiguration.DiskFile: DiskFacts] = [:]
            for disk in configuration.diskFiles {
                facts[disk] = try DiskExamination.facts(of: disk.path, formatName: disk.format)
            }
            let state = try place.state(making: true)
            try state.apply(configuration, facts: facts) { (applied) throws(StateError) in
                let report = ApplyReport(applied)
                try place.announce { try Rendering.render(report, as: place.output) { report.text } }
            }
            if !elsewhere { try state.makeStoredBuckets(configuration.bucketNames) }
        }
    }

    private func text() throws(StateError) -> String {
        do throws(ImageError) {
            return try SmallFile.read(file)
        } catch {
            throw StateError(.unavailable, error.message)
        }
    }
}

/// What a file changed.
struct ApplyReport: Encodable {
    struct Change: Encodable {
        var change: String
        var what: String
        var name: String
    }

    var changes: [Change]
    var keys: [KeyReport]

    init(_ applied: AppliedConfiguration) {
        changes = applied.changes.map { Change(change: $0.kind.rawValue, what: $0.what, name: $0.name) }
        keys = applied.madeKeys.map { key in
            var report = KeyReport(key)
            report.secret = key.secret
            return report
        }
    }

    var text: String {
        guard !changes.isEmpty else { return "everything is so already" }
        let lines = changes.map { "\($0.change) \($0.what) \($0.name)" }
        return (lines + keys.map { "access key secret of \($0.id): \($0.secret ?? "")" }).joined(separator: "\n")
    }
}
