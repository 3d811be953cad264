/// What is measured of a format.
package enum BenchJob: String, CaseIterable, Hashable, Sendable {
    case write, read, verify, compress

    /// What each measures, for the head of a table.
    package var title: String {
        switch self {
        case .write: "Write: the source into an image"
        case .read: "Read: an image back into raw, which is thrown away"
        case .verify: "Verify: an image against its manifest"
        case .compress: "Compress: every compressor and level"
        }
    }
}

/// Where images are written.
package enum BenchDestination: Hashable, Sendable {
    case directory(String)
    case memory
    case none

    package init(argument: String) {
        switch argument {
        case "memory": self = .memory
        case "none": self = .none
        default: self = .directory(argument)
        }
    }

    package var name: String {
        switch self {
        case .directory(let path): path
        case .memory: "memory"
        case .none: "none"
        }
    }
}
