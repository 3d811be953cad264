import ImageModel

/// What a file of a VMDK is, by its first bytes: one of the sparse extents, or a descriptor.
enum VMDKFile: Sendable {
    /// With the descriptor inside, where it has one.
    case hosted(VMDKHostedExtent, VMDKDescriptor?)
    case cowd(VMDKCOWDHeader, VMDKSparseExtent)
    case seSparse(VMDKSESparseExtent)
    case descriptor(VMDKDescriptor)

    enum Kind: Sendable { case hosted, cowd, seSparse, descriptor }

    /// What the first bytes of a file say; whatever has no mark of another kind is taken for hosted, and refused as such.
    static func kind(of source: any ImageSource) throws(ImageError) -> Kind {
        let head = try source.read(FileRange(0, length: min(source.length, sectorSize)))
        if head.starts(with: VMDKCOWDHeader.magic) { return .cowd }
        if head.starts(with: VMDKSESparseHeader.magic) { return .seSparse }
        return VMDKDescriptor.begins(head) ? .descriptor : .hosted
    }

    /// Reads and checks what is in front of the content.
    ///
    /// - Throws: `truncated`, `corrupt`, `unsupported` or `limit-exceeded`.
    init(source: any ImageSource) throws(ImageError) {
        switch try Self.kind(of: source) {
        case .cowd:
            let header = try VMDKCOWDHeader(source: source)
            self = .cowd(header, try VMDKSparseExtent(header, in: source))
        case .seSparse: self = .seSparse(try VMDKSESparseExtent(source: source))
        case .descriptor:
            let descriptor = try VMDKDescriptor(file: source)
            try descriptor.validate(path: source.name, at: FileOffset(0))
            self = .descriptor(descriptor)
        case .hosted:
            let extent = try VMDKHostedExtent(source: source)
            let descriptor = try VMDKDescriptor.embedded(in: source, extent.head)
            if let descriptor {
                let offset = FileOffset(extent.head.descriptorOffset * sectorSize)
                try descriptor.validate(path: source.name, at: offset)
                try descriptor.requireOneExtent(path: source.name, at: offset)
            }
            self = .hosted(extent, descriptor)
        }
    }

    /// What the file says of the disk; nil for an extent that leaves that to another file.
    var descriptor: VMDKDescriptor? {
        switch self {
        case .hosted(_, let descriptor): descriptor
        case .descriptor(let descriptor): descriptor
        case .cowd, .seSparse: nil
        }
    }

    /// In sectors.
    var capacity: UInt64 {
        switch self {
        case .hosted(let extent, _): extent.header.capacity
        case .cowd(let header, _): header.capacity
        case .seSparse(let extent): extent.header.capacity
        case .descriptor(let descriptor): descriptor.capacity ?? 0
        }
    }

    /// Bytes of a grain; nil for a descriptor.
    var grainLength: UInt64? {
        switch self {
        case .hosted(let extent, _): extent.grains.grainLength
        case .cowd(_, let grains): grains.grainLength
        case .seSparse(let extent): extent.grainLength
        case .descriptor: nil
        }
    }

    /// For messages, with its article.
    var what: String {
        switch self {
        case .hosted: "a hosted sparse extent (KDMV)"
        case .cowd: "a COWD extent of ESX (vmfsSparse)"
        case .seSparse: "an seSparse extent of ESXi"
        case .descriptor: "a descriptor"
        }
    }
}

/// A hosted sparse extent (KDMV) with its header, and its footer where it has one.
struct VMDKHostedExtent: Hashable, Sendable {
    /// At the start of the file.
    let head: VMDKHeader
    /// Where the header leaves the directory to it.
    let footer: VMDKFooter?
    let grains: VMDKSparseExtent

    /// The one that holds: the footer overrides the header.
    var header: VMDKHeader { footer?.header ?? head }

    /// - Throws: `truncated`, `corrupt`, `unsupported` or `limit-exceeded`.
    init(source: any ImageSource) throws(ImageError) {
        head = try VMDKHeader(source: source)
        try head.validate(path: source.name)
        footer = head.directoryOffset == VMDKHeader.directoryAtEnd ? try VMDKFooter(in: source) : nil
        grains = try VMDKSparseExtent(footer?.header ?? head, in: source)
    }
}
