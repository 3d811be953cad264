internal import ImageExport
internal import ImageModel
internal import ImagePipeline
internal import ObjectStorage

/// An image in a store, with the manifest that it is held against.
struct RemoteImage {
    let store: any ObjectStore
    let key: ObjectKey
    /// The one that the user named, or the one beside the object; nil where there is none.
    let manifest: Manifest?

    init(
        _ location: StoreLocation, in arguments: StoreArguments, manifest: Manifest?, _ cancellation: CancellationFlag?
    ) throws(ImageError) {
        guard let key = location.key else {
            throw ImageError(.invalidOption, "name an object, \(location.scheme.rawValue)://BUCKET/KEY")
        }
        self.key = key
        store = try arguments.open(location, cancellation: cancellation)
        if let manifest { self.manifest = manifest } else { self.manifest = try Self.manifest(beside: key, in: store) }
        guard let bucket = try arguments.directoryBucket(location) else { return }
        CommandFiles.noteRead(key, in: bucket)
        CommandFiles.noteRead(try ExportName.manifest(of: key), in: bucket)
        for (index, file) in (self.manifest?.files ?? []).enumerated() {
            CommandFiles.noteRead(try self.key(of: file, index), in: bucket)
        }
    }

    /// - Returns: nil where there is none.
    private static func manifest(beside key: ObjectKey, in store: any ObjectStore) throws(ImageError) -> Manifest? {
        let manifestKey = try ExportName.manifest(of: key)
        do throws(StoreError) { _ = try store.head(manifestKey) } catch {
            if error.code == .noSuchObject { return nil }
            throw error.imageError
        }
        return try Manifest(source: StoreSource(store, manifestKey))
    }

    func source() throws(ImageError) -> StoreSource { try StoreSource(store, key) }

    /// What opens the other files of an image of several: the objects beside it; nil where it is one.
    var siblings: ListedFiles? {
        guard let manifest, !manifest.files.isEmpty else { return nil }
        return ListedFiles(manifest.files.map(\.name), in: BeneathPrefix(ExportName.folder(of: key), in: store))
    }

    /// The key of a file of the manifest, of which the first has the name of the object itself.
    func key(of file: WrittenFile, _ index: Int) throws(ImageError) -> ObjectKey {
        index == 0 ? key : try ExportName.sibling(of: key, named: file.name)
    }

    /// What can be told without reading the object.
    ///
    /// - Returns: nil where there is no manifest, and so nothing to hold it against.
    func storesWord() throws(ImageError) -> VerificationReport? {
        let summary: ObjectSummary
        do throws(StoreError) { summary = try store.head(key) } catch { throw error.imageError }
        guard let manifest else {
            throw ImageError(
                .mismatch,
                "the object is there (\(summary.length) bytes), but there is no manifest beside it, and none was named: name one "
                    + "with '--manifest', or read it with '--deep'", path: "\(store.name)/\(key)")
        }
        guard manifest.files.isEmpty else { return try storesWord(ofFiles: manifest) }
        return VerificationReport(storeSays: summary.length, crc64: summary.crc64, manifest: manifest)
    }

    private func storesWord(ofFiles manifest: Manifest) throws(ImageError) -> VerificationReport {
        var found: [(length: UInt64, crc64: UInt64?)?] = []
        for (index, file) in manifest.files.enumerated() {
            let key = try key(of: file, index)
            do throws(StoreError) {
                let summary = try store.head(key)
                found.append((summary.length, summary.crc64))
            } catch {
                guard error.code == .noSuchObject else { throw error.imageError }
                found.append(nil)
            }
        }
        return VerificationReport(storeSays: found, manifest: manifest)
    }
}
