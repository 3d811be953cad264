public import ImageModel
public import ObjectStorage

extension ObjectExport {
    /// Takes back what an export with a checkpoint has made: the upload, the object and its manifest, and the checkpoint.
    ///
    /// - Parameters:
    ///   - store: with retries around it.
    ///   - isOurs: whether the object that is there is the export's: the same bytes may be there from somebody else.
    /// - Throws: `store` where the store can't be had; then the checkpoint is kept, and a later call does the rest. `corrupt`.
    public static func discard(
        checkpointPath: String, store: any ObjectStore, key: ObjectKey, isOurs: (ObjectSummary) -> Bool
    ) throws(ImageError) {
        let file = CheckpointFile(path: checkpointPath)
        let manifestKey = try ExportName.manifest(of: key)
        let checkpoint = try file.read()
        do throws(StoreError) {
            if let checkpoint, !checkpoint.uploadID.isEmpty {
                try abort(MultipartUpload(key: key, id: checkpoint.uploadID), in: store)
            }
            if let checkpoint { try abortUnnotedUpload(of: checkpoint, to: key, in: store) }
            if let object = try head(key, in: store), isOurs(object) {
                // The object first: what stands there without a manifest is no export, but a manifest alone is nothing.
                try store.delete(key)
                try store.delete(manifestKey)
            }
        } catch {
            throw error.imageError
        }
        try file.remove()
    }

    private static func abort(_ upload: MultipartUpload, in store: any ObjectStore) throws(StoreError) {
        do throws(StoreError) { try store.abort(upload) } catch { if error.code != .noSuchUpload { throw error } }
    }

    private static func head(_ key: ObjectKey, in store: any ObjectStore) throws(StoreError) -> ObjectSummary? {
        do throws(StoreError) { return try store.head(key) } catch {
            if error.code == .noSuchObject { return nil }
            throw error
        }
    }
}
