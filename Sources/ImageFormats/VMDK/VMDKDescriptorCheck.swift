import ImageModel

/// Checks the text that says what a VMDK is, in a sparse extent or in a file of its own.
enum VMDKDescriptorCheck {
    /// Checks the descriptor of a hosted sparse extent, where it has one.
    static func checkEmbedded(in extent: VMDKHostedExtent, _ source: any ImageSource, _ report: inout CheckReport) {
        // A place of no length is not looked at, and can be any number.
        guard extent.head.hasDescriptorPlace else { return }
        let offset = FileOffset(extent.head.descriptorOffset * sectorSize)
        do throws(ImageError) {
            guard let descriptor = try VMDKDescriptor.embedded(in: source, extent.head) else { return }
            try descriptor.validate(path: source.name, at: offset)
            try descriptor.requireOneExtent(path: source.name, at: offset)
            if let size = descriptor.capacity, size != extent.header.capacity {
                report.add(
                    .corruption,
                    "the descriptor says \(size) sectors, the header \(extent.header.capacity): programs differ in which they take",
                    at: offset)
            }
            check(descriptor, at: offset, &report)
        } catch {
            report.fail(with: error)
        }
    }

    /// Checks a file that is a descriptor: what it says, and not what is in the files that it names.
    static func checkFile(_ source: any ImageSource, _ report: inout CheckReport) throws(ImageError) {
        let descriptor = try VMDKDescriptor(file: source)
        try descriptor.validate(path: source.name, at: FileOffset(0))
        report.imageEnd = FileOffset(source.length)
        check(descriptor, at: FileOffset(0), &report)
        for line in descriptor.extents where line.kind != .zero {
            guard let objection = ReferencedName.objection(to: line.fileName) else { continue }
            report.add(
                .warning,
                "the name of the extent '\(ReferencedName.shown(line.fileName))' \(objection); Lathe follows only relative paths "
                    + "that go down, and Glance no path at all", at: FileOffset(0))
        }
        guard descriptor.extents.contains(where: \.hasTables) else { return }
        report.incomplete = ImageError(
            .externalReference,
            "this is a VMDK descriptor, and right as far as it goes; the tables are in the \(descriptor.extents.count) extents that "
                + "it names, of which 'check' opens none: check each of them by its own name", path: source.name)
    }

    private static func check(_ descriptor: VMDKDescriptor, at offset: FileOffset, _ report: inout CheckReport) {
        if let name = descriptor.extents.first?.fileName, name.contains("/") {
            report.add(
                .warning,
                "the extent's name '\(ReferencedName.shown(name))' has a path in it; Glance refuses it", at: offset)
        }
        if let line = descriptor.strayLine {
            report.add(
                .warning, "the descriptor has a line of no known kind, '\(line)'; Glance refuses it", at: offset)
        }
        if !["1", "2", "3"].contains(descriptor.version ?? "") {
            report.add(
                .warning,
                "the descriptor's version is '\(ReferencedName.shown(descriptor.version ?? ""))', expected 1 to 3",
                at: offset)
        }
        // fffffffe is not odd: it says that the long ID holds.
        if descriptor.contentID == VMDKDescriptor.noParent {
            report.add(.warning, "the content ID is ffffffff, which means 'no parent' to a child disk", at: offset)
        }
        let subformat = VMDKSubformat.allCases.first { $0.rawValue.lowercased() == descriptor.createType.lowercased() }
        if descriptor.extents.first?.access == .readOnly, subformat == .monolithicSparse {
            report.add(.warning, "the extent is RDONLY, expected RW for a monolithicSparse disk", at: offset)
        }
    }
}
