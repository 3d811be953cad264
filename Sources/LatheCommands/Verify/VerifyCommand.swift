internal import ArgumentParser
internal import ImageFiles
internal import ImageFormats
internal import ImageModel
internal import ImagePipeline

struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Prove that images are what they should be, and locate or repair what is not.",
        discussion: """
            In this order of strength: the structure, as 'lathe check' has it; the manifest that 'lathe convert --manifest' \
            wrote: length, CRC-64 of the file and of each of its parts, of the content, and SHA-256 where the manifest has one; \
            the source itself, byte by byte. A CRC-64 finds accidents; against somebody who wants to deceive, only a SHA-256 in \
            a manifest from a hand that you trust proves anything, or the source.

            Damage is located: the parts of the file that have to be fetched again, and the guest bytes that they carry.

            --repair-from rewrites damaged parts in place, and nothing else, then verifies again. A part is taken from another \
            copy that has it whole, or made anew from a disk of the same content in any format, the raw source for one. \
            Nothing is written that does not have the part's CRC-64 by the manifest.

            Exit codes: 0 every image is whole, 1 it can't be told of one, 2 one is damaged. Without manifest and source, whole \
            means that the structure is sound and all of the disk can be read.

            Examples:
              lathe verify --manifest disk.qcow2.json disk.qcow2
              lathe verify --source disk.raw disk.qcow2 disk.vhd disk.vmdk
              lathe verify --manifest disk.qcow2.json --repair-from disk.raw disk.qcow2
            """)

    @Option(
        name: .customShort("f"),
        help: ArgumentHelp(
            "The images' format; without it, the manifest says it, or else the content shows.", valueName: "fmt"))
    var format: ImageFormat?

    @Option(
        help: ArgumentHelp(
            "What 'convert --manifest' wrote; for several images as often as there are images, in their order.",
            valueName: "path"), completion: .file())
    var manifest: [String] = []

    @Option(
        help: ArgumentHelp(
            "An image of the disk that all the images should hold; a raw one, unless --source-format says otherwise.",
            valueName: "path"), completion: .file())
    var source: String?

    @Option(help: ArgumentHelp("The source's format.", valueName: "fmt"))
    var sourceFormat: ImageFormat = .raw

    @Option(
        help: ArgumentHelp(
            "Another copy of the image, or a disk of the same content, to repair from; several are tried in turn.",
            valueName: "path"), completion: .file())
    var repairFrom: [String] = []

    @Option(help: "For people or for programs.")
    var output: OutputFormat = .human

    @Flag(name: .customShort("q"), help: "Print nothing but errors.")
    var quiet = false

    @OptionGroup var flags: WorkFlags

    @Argument(help: "The images.", completion: .file())
    var images: [String]

    func validate() throws {
        if images.isEmpty { throw ValidationError("There is no image to verify; name one or more.") }
        if !manifest.isEmpty, manifest.count != images.count {
            throw ValidationError(
                "There are \(images.count) images and \(manifest.count) manifests; give one for each image, in their order."
            )
        }
        if !repairFrom.isEmpty, manifest.isEmpty {
            throw ValidationError("--repair-from needs --manifest: only a manifest says which parts are damaged.")
        }
    }

    func run() throws {
        try runCommand(flags) { work in
            var results: [VerifyResult] = []
            for (index, path) in images.enumerated() {
                let result = try verify(path, manifest: manifest.isEmpty ? nil : manifest[index], work)
                results.append(result)
                if output == .human, !quiet { try Rendering.write(result.text + "\n") }
                if let error = result.error { Rendering.note("lathe: \(error)") }
            }
            let payload = VerifyPayload(results)
            if output == .json, !quiet { try Rendering.write(try Rendering.json(payload) + "\n") }
            switch payload.verdict {
            case .whole: return
            case .undecided: throw ExitStatus.verifyUndecided
            case .damaged: throw ExitStatus.verifyDamaged
            }
        }
    }

    /// Verifies one image, and repairs it where that was asked for; what keeps it from being known is in the result.
    private func verify(_ path: String, manifest manifestPath: String?, _ work: WorkOptions) throws(ImageError)
        -> VerifyResult
    {
        var result = VerifyResult(path: path, manifestPath: manifestPath)
        do throws(ImageError) {
            var manifest: Manifest?
            if let manifestPath { manifest = try Manifest(source: FileSource(path: manifestPath)) }
            result.report = try examine(path, manifest, work)
            if let manifest, !repairFrom.isEmpty, result.report?.needsRepair(manifest) ?? false {
                try repair(path, manifest, work, &result)
            }
        } catch {
            if error.code == .cancelled { throw error }
            result.error = error.naming(path)
        }
        return result
    }

    private func examine(_ path: String, _ manifest: Manifest?, _ work: WorkOptions) throws(ImageError)
        -> VerificationReport
    {
        var reference: DiskImage?
        if let source { reference = try DiskImage(FileSource(path: source), format: sourceFormat) }
        let verification = Verification(
            try FileSource(path: path), format: format, manifest: manifest, reference: reference, work: work)
        return try verification.run()
    }

    private func repair(_ path: String, _ manifest: Manifest, _ work: WorkOptions, _ result: inout VerifyResult)
        throws(ImageError)
    {
        var donors: [RepairDonor] = []
        for donor in repairFrom {
            let source = try FileSource(path: donor)
            guard !source.isFile(at: path) else {
                throw ImageError(
                    .invalidOption, "an image can't be repaired from itself; name another copy", path: donor)
            }
            donors.append(RepairDonor(source))
        }
        let target = try FilePatch(path: path)
        let parts = result.report?.damagedParts ?? []
        result.repair = try Repair(manifest: manifest, work: work).run(
            parts, of: FileSource(path: path), from: donors, into: target
        ) {
            () throws(ImageError) in try ScratchSpool()
        }
        result.report = try examine(path, manifest, work)
    }
}

extension VerificationReport {
    /// Whether the file itself is not what the manifest says.
    fileprivate func needsRepair(_ manifest: Manifest) -> Bool {
        !damagedParts.isEmpty || objectLength != manifest.objectLength
    }
}
