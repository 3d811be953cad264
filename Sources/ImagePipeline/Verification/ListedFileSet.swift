import ImageFormats
import ImageModel

/// The files that a manifest lists, as far as they are there: one, or those of an image of several.
struct ListedFileSet: Sendable {
    /// In the order of the manifest; nil for one that is not there.
    let sources: [(any ImageSource)?]
    /// Why one is not there, and what keeps it from being known.
    let faults: [String]

    /// - Parameters:
    ///   - first: the one that is opened, whatever it is called.
    ///   - references: what opens the others, by the names that the manifest has.
    ///   - isOptional: whether a file may be taken for missing that can't be opened for another reason.
    /// - Throws: what keeps it from being known whether one is there: `input-output`, `store`, `external-reference`, `cancelled`.
    init(
        _ manifest: Manifest, first: any ImageSource, _ references: any ReferencedFiles, isOptional: Bool = false
    ) throws(ImageError) {
        var sources: [(any ImageSource)?] = [first]
        var faults: [String] = []
        for file in manifest.files.dropFirst() {
            do throws(ImageError) {
                sources.append(try references.open(file.name, namedBy: first.name))
            } catch {
                guard error.isMissing || isOptional, error.code != .cancelled else { throw error }
                sources.append(nil)
                faults.append(error.isMissing ? "\(file.name) is not there" : "\(error)")
            }
        }
        self.sources = sources
        self.faults = faults
    }

    init(_ sources: [(any ImageSource)?]) {
        self.sources = sources
        faults = []
    }
}

/// Where a part of an image is.
struct PartPlace: Hashable, Sendable {
    /// Which of the manifest's files, from 0.
    var file: Int
    /// In that file.
    var range: FileRange
}

extension Manifest {
    /// The lengths of the image's files, in bytes.
    var fileLengths: [UInt64] { files.isEmpty ? [objectLength] : files.map(\.length) }

    /// Where each part is, in the order of the list.
    var partPlaces: [PartPlace] {
        var places: [PartPlace] = []
        for (file, length) in fileLengths.enumerated() {
            for index in 0..<Int(length.dividedRoundingUp(by: parts.length)) {
                places.append(PartPlace(file: file, range: parts.range(ofPart: index, objectLength: length)))
            }
        }
        return places
    }
}
