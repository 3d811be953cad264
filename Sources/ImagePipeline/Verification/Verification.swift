public import ImageFormats
public import ImageModel

/// Finds out whether an image file is what it should be: its structure, then what a manifest says, then what a source holds.
///
/// The file is read once, in its own order, for all that CRC-64s prove. Content takes a second pass where it is compressed,
/// where its bytes stand for two guest ranges at once, and for a SHA-256 of it.
public struct Verification: Sendable {
    /// How many differing ranges are told.
    public static let toldDifferences = 100

    public var source: any ImageSource
    /// nil where the manifest, or else the content, says it.
    public var format: ImageFormat?
    public var manifest: Manifest?
    /// What opens the files that the image names.
    public var references: any ReferencedFiles = NoReferencedFiles()
    /// The disk whose content the image should have.
    public var reference: DiskImage?
    public var work: WorkOptions

    public init(
        _ source: any ImageSource, format: ImageFormat? = nil, manifest: Manifest? = nil, reference: DiskImage? = nil,
        work: WorkOptions = .init()
    ) {
        self.source = source
        self.format = format
        self.manifest = manifest
        self.reference = reference
        self.work = work
    }

    /// Blocks until all is found out.
    ///
    /// - Throws: what keeps it from being found out: `input-output`, `source-changed`, `ambiguous-format`, `cancelled`.
    public func run() throws(ImageError) -> VerificationReport {
        let format: ImageFormat
        if let named = self.format ?? manifest?.format {
            format = named
        } else {
            format = try FormatDetection.detect(source, name: source.name)
        }
        var report = VerificationReport(format: format, objectLength: source.length)
        var files = ListedFileSet([source])
        if let manifest { files = try ListedFileSet(manifest, first: source, references) }
        let (image, headerError) = try openImage(format, of: files)
        report.virtualSize = image?.virtualSize
        checkStructure(format, image, &report)
        if let manifest {
            checkFormat(image, manifest, &report)
            if manifest.files.isEmpty {
                try checkObject(files, image, manifest, &report)
            } else {
                try checkFiles(files, image, manifest, &report)
            }
        }
        if let image {
            try checkContent(image, &report)
            try checkReference(image, &report)
        } else if let headerError {
            report.add(.content, Self.outcome(of: headerError), "nothing of the disk can be read: \(headerError)")
        }
        try source.requireUnchanged()
        return report
    }

    /// The disk in the file, or what is wrong with its header.
    private func openImage(_ format: ImageFormat, of files: ListedFileSet) throws(ImageError) -> (
        DiskImage?, ImageError?
    ) {
        do throws(ImageError) {
            return (try DiskImage(source, format: format, references: references), nil)
        } catch {
            // A file that is missing is damage.
            if files.faults.isEmpty { try Self.requireContentError(error) }
            return (nil, error)
        }
    }

    /// Lets through what the bytes of the image are to blame for, and throws the rest.
    private static func requireContentError(_ error: ImageError) throws(ImageError) {
        switch error.code {
        case .inputOutput, .sourceChanged, .cancelled, .invalidOption: throw error
        default: return
        }
    }

    /// What an error of a reader or checker says about the image.
    private static func outcome(of error: ImageError) -> VerificationCheck.Outcome {
        error.code == .corrupt || error.code == .truncated ? .failed : .undecided
    }
}

// MARK: - Structure

extension Verification {
    private func checkStructure(_ format: ImageFormat, _ image: DiskImage?, _ report: inout VerificationReport) {
        guard format != .raw else {
            return report.add(.structure, .notApplicable, "a raw image has no structure")
        }
        let found = FormatCatalog.check(source, openedAs: image?.source ?? source, format)
        report.findings = found.findings
        if found.corruptions > 0 {
            let first = found.findings.first { $0.kind == .corruption }
            report.add(
                .structure, .failed,
                "\(found.corruptions) corruptions" + (first.map { ", the first: \($0.message)" } ?? ""))
        } else if let error = found.incomplete {
            report.add(.structure, Self.outcome(of: error), "it can't be checked: \(error)")
        } else {
            let rest = [(found.leaks, "leaks"), (found.warnings, "warnings")].filter { $0.0 > 0 }
            let text = rest.map { ", \($0.0) \($0.1)" }.joined()
            report.add(.structure, .passed, "no corruption in \(found.allocatedUnits) allocated units\(text)")
        }
    }

    private func checkFormat(_ image: DiskImage?, _ manifest: Manifest, _ report: inout VerificationReport) {
        if report.format != manifest.format {
            return report.add(
                .format, .failed, "the format is \(report.format.rawValue), expected \(manifest.format.rawValue)")
        }
        guard let image else { return }
        guard image.virtualSize == manifest.virtualSize else {
            return report.add(
                .format, .failed, "the virtual size is \(image.virtualSize), expected \(manifest.virtualSize)")
        }
        for detail in image.reader.details {
            // The keys of `info` have dashes where those of `-o` have underscores.
            let key = detail.key.replacing("-", with: "_")
            guard let expected = manifest.options[key], case .text(let found) = detail.value,
                found.lowercased() != expected.lowercased()
            else { continue }
            return report.add(.format, .failed, "\(key) is \(found), expected \(expected)")
        }
        report.add(.format, .passed, "\(report.format.rawValue) of \(image.virtualSize) bytes, as in the manifest")
    }
}

// MARK: - The file

extension Verification {
    private func checkObject(
        _ files: ListedFileSet, _ image: DiskImage?, _ manifest: Manifest, _ report: inout VerificationReport
    ) throws(ImageError) {
        report.compare(.length, source.length, with: manifest.objectLength, "the length in bytes")
        var selection = ChecksumSelection.crc64ecma
        if manifest.object.sha256 != nil { selection.insert(.sha256) }
        if manifest.object.sha256Tree != nil { selection.insert(.sha256Tree) }
        // What is behind the object's end is one finding, and no damage to its last part.
        let pass = try ObjectPass(
            PrefixSource(source, length: manifest.objectLength), holding: image, partLength: manifest.parts.length,
            selection, work)
        report.object = pass.object
        if let fingerprint = pass.fingerprint { report.content = Checksums(crc64ecma: fingerprint) }
        report.damagedParts = Self.damagedParts([pass.parts], of: files, manifest)
        let count = report.damagedParts.count
        let total = manifest.parts.crc64ecma.count
        if pass.object.crc64ecma == manifest.object.crc64ecma, count == 0 {
            report.add(
                .object, .passed, "CRC-64 is \(pass.object.crc64ecma), and that of each of \(total) parts is right")
        } else {
            report.add(
                .object, .failed,
                "CRC-64 is \(pass.object.crc64ecma), expected \(manifest.object.crc64ecma); damaged parts: \(count) of "
                    + "\(total)")
        }
        if let expected = manifest.object.sha256, let found = pass.object.sha256 {
            report.compare(.objectSHA256, found, with: expected, "SHA-256 of the file")
        }
        if let expected = manifest.object.sha256Tree, let found = pass.object.sha256Tree {
            report.compare(.objectSHA256Tree, found, with: expected, "sha256-tree of the file")
        }
        if let image, count > 0 {
            // Where the tables are damaged too, the parts stay without guest ranges.
            try? DamageLocator.locate(&report.damagedParts, of: files, manifest, in: image)
        }
    }
}

// MARK: - The content

extension Verification {
    private func checkContent(_ image: DiskImage, _ report: inout VerificationReport) throws(ImageError) {
        var selection = ChecksumSelection.crc64ecma
        if manifest?.content.sha256 != nil { selection.insert(.sha256) }
        if manifest?.content.sha256Tree != nil { selection.insert(.sha256Tree) }
        do throws(ImageError) {
            if report.content == nil || selection != .crc64ecma {
                report.content = try image.checksums(selection, work)
            }
        } catch {
            try Self.requireContentError(error)
            return report.add(.content, Self.outcome(of: error), "the disk can't be read: \(error)")
        }
        guard let content = report.content else { return }
        guard let manifest else {
            return report.add(.content, .passed, "all of the disk can be read; its fingerprint is \(content.crc64ecma)")
        }
        report.compare(.content, content.crc64ecma, with: manifest.content.crc64ecma, "the fingerprint")
        if let expected = manifest.content.sha256, let found = content.sha256 {
            report.compare(.contentSHA256, found, with: expected, "SHA-256 of the content")
        }
        if let expected = manifest.content.sha256Tree, let found = content.sha256Tree {
            report.compare(.contentSHA256Tree, found, with: expected, "sha256-tree of the content")
        }
    }

    private func checkReference(_ image: DiskImage, _ report: inout VerificationReport) throws(ImageError) {
        guard let reference else { return }
        do throws(ImageError) {
            let found = try image.differences(from: reference, atMost: Self.toldDifferences, work)
            report.differences = found
            guard !found.isEmpty else {
                return report.add(.source, .passed, "every byte is as in \(reference.source.name)")
            }
            if found.differingBytes == 0, let manifest, manifest.isRoundedUp(from: reference.virtualSize) {
                return report.add(
                    .source, .passed,
                    "every byte is as in \(reference.source.name); behind its end there are zeros, up to the size to which "
                        + "the disk was rounded up")
            }
            var text = "\(found.differingBytes) bytes, in whole sectors, differ from \(reference.source.name)"
            if found.sizesDiffer {
                text += "; the virtual size is \(image.virtualSize), expected \(reference.virtualSize)"
            }
            report.add(.source, .failed, text)
        } catch {
            try Self.requireContentError(error)
            // What is wrong with the source is not the image's fault.
            let isOurs = !reference.source.files.contains { $0.name == error.path }
            report.add(.source, isOurs ? Self.outcome(of: error) : .undecided, "the disks can't be compared: \(error)")
        }
    }
}
