import ImageFormats
import ImageModel
import ImagePipeline
import ObjectStorage

/// What an export of one file and one of several have in common.
extension ObjectExport {
    /// - Throws: `destination-exists`, also where the export would replace what it is made of; `store` for a key that the store
    ///   can't have.
    func requireFree(_ key: ObjectKey) throws(ImageError) {
        let isSource = conversion.image.source.files.contains {
            ($0 as? StoreSource)?.isObject(key, in: store) ?? false
        }
        guard !isSource else {
            throw ImageError(
                .destinationExists, "the export is made of this object, which would be lost; name another",
                path: "\(store.name)/\(key)")
        }
        // Asked where it may be replaced, too: a store that can't have such a key says so before anything is sent.
        let found = try head(key)
        guard found == nil || replacing else {
            throw ImageError(
                .destinationExists, "the object exists; delete it, name another, or pass --overwrite",
                path: "\(store.name)/\(key)")
        }
    }

    /// What an object is said to be; the fingerprint is known last, and of a pipe the size as well.
    func attributes(virtualSize: UInt64?, fingerprint: UInt64?) -> ObjectAttributes {
        var attributes = attributes
        attributes.contentType = attributes.contentType ?? "application/octet-stream"
        attributes.userMetadata["lathe-format"] = conversion.format.rawValue
        attributes.userMetadata["lathe-virtual-size"] = virtualSize.map { String($0) }
        attributes.userMetadata["lathe-fingerprint"] = fingerprint.map { String($0) }
        return attributes
    }

    /// Runs a conversion on this thread and its workers, while other threads send the parts of what it makes.
    func send(_ conversion: Conversion, by session: MultipartSession) throws(ImageError) -> ConversionResult {
        let partLength = session.plan.partLength
        let sink = PartFillingSink(
            partLength: partLength, completeParts: transfer.completeParts(ofLength: partLength))
        let failure = SharedFailure()
        let result: ConversionResult? = try WorkerThreads.run(besides: transfer.parallel) {
            do throws(StoreError) {
                while let part = try sink.next() {
                    try session.send(part)
                    sink.release(part)
                }
            } catch {
                failure.set(error.imageError)
                sink.stop(error)
                session.stop()
                // The writers may be waiting for a pipe that is silent.
                conversion.image.source.abandon()
            }
        } _: { () throws(ImageError) in
            do throws(ImageError) { return try conversion.run(into: transfer.limiting(sink)) } catch {
                // What the senders met comes back to the writers as well, and is the cause; the first one counts.
                failure.set(error)
                sink.stop(StoreError(.cancelled, error.message))
                session.stop()
                return nil
            }
        }
        try failure.rethrow()
        guard let result else { throw ImageError(.cancelled, "stopped on request") }
        return result
    }

    func abort(_ session: MultipartSession) {
        do throws(StoreError) { try session.abort() } catch {
            onNote(
                "what was sent could not be removed from the store (\(error)); 'lathe export --abort-stale' does it later"
            )
        }
    }

    /// Puts the manifest beside the object, which is there by now.
    ///
    /// - Parameter advice: what brings the manifest there where this does not.
    func put(_ manifest: Manifest, as key: ObjectKey, otherwise advice: String) throws(ImageError) {
        let body = ObjectBody(try manifest.encoded())
        do throws(StoreError) {
            // Of its own name, and by now the object is there: a manifest that stands there is an older one's.
            _ = try store.put(body, to: key, ObjectAttributes(contentType: "application/json"), replacing: true)
        } catch {
            onNote("the object is there and whole, but its manifest is not; " + advice)
            // That of the object that was replaced says what this one is not.
            if replacing, error.code != .cancelled { try? store.delete(key) }
            throw error.imageError
        }
    }

    /// What the store knows of an object; nil where there is none.
    func head(_ key: ObjectKey) throws(ImageError) -> ObjectSummary? {
        try storing { () throws(StoreError) in
            do throws(StoreError) { return try store.head(key) } catch {
                if error.code == .noSuchObject { return nil }
                throw error
            }
        }
    }

    func storing<Result>(_ body: () throws(StoreError) -> Result) throws(ImageError) -> Result {
        do throws(StoreError) { return try body() } catch { throw error.imageError }
    }
}

/// What is asked of the checkpoint of a run before, whatever the number of files.
extension ObjectExport {
    /// By how much a store's clock may differ from ours, in seconds: it refuses requests of others (OSS and S3, RequestTimeTooSkewed).
    private static let clockSkew: UInt64 = 15 * 60

    /// Whether a checkpoint is that of an export to this object.
    func isOurs(_ checkpoint: Checkpoint) -> Bool {
        checkpoint.store == store.name && checkpoint.key == key.description
    }

    /// - Throws: `invalid-option` for the checkpoint of another export; `source-changed`.
    func require(_ checkpoint: Checkpoint, of basis: Checkpoint.Basis) throws(ImageError) {
        guard isOurs(checkpoint) else {
            throw ImageError(
                .invalidOption,
                "this is the checkpoint of an export to \(checkpoint.store)/\(checkpoint.key), not to \(store.name)/\(key); name "
                    + "another file", path: checkpointPath)
        }
        var then = checkpoint.basis
        guard then.sourceLength == basis.sourceLength, then.sourceRevision == basis.sourceRevision else {
            throw ImageError(
                .sourceChanged,
                "the source changed since the export began (then \(then.sourceLength) bytes of \(then.sourceRevision ?? "?"), now "
                    + "\(basis.sourceLength) bytes of \(basis.sourceRevision ?? "?")), so the parts that were sent are of another "
                    + "disk; begin anew without the checkpoint (\(checkpointPath ?? ""))",
                path: conversion.image.source.name)
        }
        then.sourceRevision = basis.sourceRevision
        guard then == basis else {
            throw ImageError(
                .invalidOption,
                "the export began with other options, or with another version of Lathe (\(then.format) \(then.options) "
                    + "\(then.encoder), now \(basis.format) \(basis.options) \(basis.encoder)); use the same, or begin anew "
                    + "without the checkpoint", path: checkpointPath)
        }
    }

    /// - Throws: `corrupt` where the store takes no object of that length in such parts.
    func requirePartLength(_ partLength: UInt64, forObjectOf length: UInt64) throws(ImageError) {
        do throws(StoreError) {
            _ = try PartPlan.partLength(forObjectOf: length, chosen: partLength, limits: store.limits)
        } catch {
            throw CheckpointFile.none(error.message, path: checkpointPath)
        }
    }

    /// - Throws: `invalid-option` where the export began in another store.
    func requireLocation(of checkpoint: Checkpoint) throws(ImageError) {
        guard checkpoint.location == store.location else {
            throw ImageError(
                .invalidOption,
                "the export began in \(checkpoint.location), and \(store.location) knows nothing of it; go on there, or name another "
                    + "file", path: checkpointPath)
        }
    }

    /// Drops an upload that a run before began and did not live to write down; what can't be found out is left.
    func abortUnnotedUpload(of checkpoint: Checkpoint, to key: ObjectKey) {
        do throws(StoreError) { try Self.abortUnnotedUpload(of: checkpoint, to: key, in: store) } catch {
            onNote(
                "uploads to \(store.name)/\(key) that a run before may have left could not be looked for (\(error)); 'lathe export "
                    + "--abort-stale' removes them later")
        }
    }

    /// Drops uploads to a key that were begun since a run was about to begin one, and to which nothing was sent: with the first part,
    /// its name is written down.
    static func abortUnnotedUpload(of checkpoint: Checkpoint, to key: ObjectKey, in store: any ObjectStore)
        throws(StoreError)
    {
        guard checkpoint.hasUnnotedUpload, checkpoint.location == store.location, let begun = checkpoint.begun else {
            return
        }
        for upload in try store.uploads(prefix: key.description) where upload.key == key {
            // Without a time, nobody can say that it is not an older one of somebody else's.
            guard let initiated = upload.initiated, initiated >= begun - min(begun, clockSkew) else { continue }
            do throws(StoreError) {
                if try store.parts(of: upload).isEmpty { try store.abort(upload) }
            } catch {
                if error.code != .noSuchUpload { throw error }
            }
        }
    }

    /// The upload that was begun, with the parts that the store has.
    ///
    /// - Returns: nil where there was none, or where the store does not know it any more.
    func upload(_ id: String, to key: ObjectKey) throws(ImageError)
        -> (upload: MultipartUpload, parts: [StoredPart])?
    {
        guard !id.isEmpty else { return nil }
        let upload = MultipartUpload(key: key, id: id)
        return try storing { () throws(StoreError) in
            do throws(StoreError) { return (upload, try store.parts(of: upload)) } catch {
                if error.code == .noSuchUpload { return nil }
                throw error
            }
        }
    }
}
