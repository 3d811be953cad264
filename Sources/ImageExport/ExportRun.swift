import ImageFormats
import ImageModel
import ImagePipeline
import ObjectStorage

/// One run of an export, from the first look at the store to the manifest.
struct ExportRun {
    private let export: ObjectExport
    private let manifestKey: ObjectKey
    private let checkpointFile: CheckpointFile?
    private let basis: Checkpoint.Basis
    /// Whether the size of the disk is known from the beginning: that of a pipe is not.
    private let isSizeKnown: Bool
    private var cancellation: CancellationFlag? { export.conversion.work.cancellation }

    init(_ export: ObjectExport) throws(ImageError) {
        self.export = export
        manifestKey = try ExportName.manifest(of: export.key)
        checkpointFile = export.checkpointPath.map { CheckpointFile(path: $0) }
        basis = try Checkpoint.Basis(export.conversion)
        isSizeKnown = export.conversion.image.source.isLengthKnown
    }

    func run() throws(ImageError) -> ExportResult {
        guard let checkpointFile else { return try begin() }
        return try checkpointFile.whileOurs { () throws(ImageError) in
            if let checkpoint = try checkpointFile.read() {
                // Of which nothing was sent, there is nothing to go on with.
                if checkpoint.hasUnnotedUpload, checkpoint.files == nil, export.isOurs(checkpoint) {
                    export.abortUnnotedUpload(of: checkpoint, to: export.key)
                } else {
                    try require(checkpoint)
                    if let done = try resume(checkpoint) { return done }
                }
                try checkpointFile.remove()
            }
            return try begin()
        }
    }

    /// Goes on where a run before ended.
    ///
    /// - Returns: nil where the store has nothing of it.
    private func resume(_ checkpoint: Checkpoint) throws(ImageError) -> ExportResult? {
        // An object of one part is put whole, without an upload.
        if let begun = try export.upload(checkpoint.uploadID, to: export.key) {
            return try send(partLength: checkpoint.partLength, resuming: begun)
        }
        // Not before: the object may be an older one of the same bytes, which was to be replaced.
        if let completion = checkpoint.completion, let done = try finishCompleted(checkpoint, completion) {
            return done
        }
        guard !checkpoint.uploadID.isEmpty else { return nil }
        try export.requireLocation(of: checkpoint)
        export.onNote(
            "the store has no upload \(checkpoint.uploadID) any more (it was aborted, or has expired): beginning anew")
        return nil
    }

    private func begin() throws(ImageError) -> ExportResult {
        try export.requireFree(export.key)
        try export.requireFree(manifestKey)
        let greatestLength = isSizeKnown ? try export.conversion.greatestLength() : nil
        let partLength = try export.storing { () throws(StoreError) in
            try PartPlan.partLength(
                forObjectOf: greatestLength, chosen: export.transfer.partLength, limits: export.store.limits)
        }
        return try send(partLength: partLength, resuming: nil)
    }

    // MARK: Sending

    private func send(partLength: UInt64, resuming: (upload: MultipartUpload, parts: [StoredPart])?)
        throws(ImageError) -> ExportResult
    {
        let checkpoint = checkpoint(partLength: partLength)
        let session = MultipartSession(
            export.store,
            .init(
                key: export.key, attributes: attributes(fingerprint: nil), partLength: partLength,
                replacing: export.replacing),
            resuming: resuming, limit: export.transfer.limit, progress: export.progress,
            isCancelled: { [cancellation] in cancellation?.isCancelled ?? false },
            willInitiate: { [checkpointFile] () throws(StoreError) in try checkpointFile?.note(nil, in: checkpoint) },
            onInitiate: { [checkpointFile] (upload) throws(StoreError) in
                try checkpointFile?.note(upload, in: checkpoint)
            })
        do throws(ImageError) {
            let result = try export.send(export.conversion, by: session)
            let manifest = try Manifest(export.conversion, result)
            try noteCompletion(manifest, of: session)
            let attributes = export.attributes(
                virtualSize: manifest.virtualSize, fingerprint: manifest.content.crc64ecma)
            let finished = try export.storing { () throws(StoreError) in
                try session.finish(
                    attributes: attributes, length: manifest.objectLength, crc64: manifest.object.crc64ecma
                ) {
                    // An object without its manifest is not what anybody who stops an export wants to be left with.
                    cancellation?.disregard()
                }
            }
            return try finish(manifest, finished.summary, finished.hasAttributes, wasResumed: resuming != nil)
        } catch {
            if checkpointFile == nil { export.abort(session) }
            throw error
        }
    }

    // MARK: Ending

    /// Writes down that all was sent, so that a run after this one need not read the source again.
    private func noteCompletion(_ manifest: Manifest, of session: MultipartSession) throws(ImageError) {
        guard let checkpointFile else { return }
        var checkpoint = checkpoint(partLength: session.plan.partLength)
        checkpoint.uploadID = session.uploadID ?? ""
        let parts = session.sentParts.map { Checkpoint.Part(number: $0.number, length: $0.length, tag: $0.tag) }
        checkpoint.completion = Checkpoint.Completion(
            length: manifest.objectLength, crc64ecma: manifest.object.crc64ecma,
            fingerprint: manifest.content.crc64ecma, manifest: String(decoding: try manifest.encoded(), as: UTF8.self),
            parts: parts.isEmpty ? nil : parts)
        try checkpointFile.write(checkpoint)
    }

    /// Puts the manifest beside the object, and forgets the checkpoint.
    private func finish(_ manifest: Manifest, _ summary: ObjectSummary, _ hasAttributes: Bool, wasResumed: Bool)
        throws(ImageError) -> ExportResult
    {
        try export.put(
            manifest, as: manifestKey,
            otherwise: checkpointFile == nil ? "export it again with --overwrite" : "the same command puts it there")
        try checkpointFile?.remove()
        return ExportResult(
            key: export.key, manifestKey: manifestKey, manifest: manifest, summary: summary,
            hasAttributes: hasAttributes, wasResumed: wasResumed)
    }

    /// Finishes an export of which all was sent by a run before.
    ///
    /// - Returns: nil where the store has no such object: it was not completed.
    private func finishCompleted(_ checkpoint: Checkpoint, _ completion: Checkpoint.Completion) throws(ImageError)
        -> ExportResult?
    {
        let manifest = try Manifest(Array(completion.manifest.utf8))
        guard manifest.objectLength == completion.length, manifest.object.crc64ecma == completion.crc64ecma,
            manifest.content.crc64ecma == completion.fingerprint
        else { throw CheckpointFile.none("its manifest is not that of its object", path: export.checkpointPath) }
        let found = try export.head(export.key)
        guard var found, isOurs(found, completion) else { return nil }
        let attributes = attributes(fingerprint: completion.fingerprint)
        var hasAttributes = found.attributes.userMetadata == attributes.userMetadata
        if !hasAttributes {
            found = try export.storing { () throws(StoreError) in
                do throws(StoreError) {
                    try export.store.setAttributes(attributes, of: export.key, tag: found.tag)
                    hasAttributes = true
                    return try export.store.head(export.key)
                } catch {
                    if error.code == .unsupported { return found }
                    throw error
                }
            }
        }
        return try finish(manifest, found, hasAttributes, wasResumed: true)
    }

    /// Whether an object is the one of which all was sent by a run before.
    ///
    /// A store that keeps no CRC-64 tells it by the parts that made it; or by the fingerprint among its metadata, where it can be
    /// no older object of the same disk, since there was none when the export began.
    private func isOurs(_ found: ObjectSummary, _ completion: Checkpoint.Completion) -> Bool {
        guard found.length == completion.length else { return false }
        if let crc64 = found.crc64 { return crc64 == completion.crc64ecma }
        let parts = (completion.parts ?? []).map { StoredPart(number: $0.number, length: $0.length, tag: $0.tag) }
        if !parts.isEmpty, export.store.isObject(found, madeOf: parts, crc64: completion.crc64ecma) { return true }
        return !export.replacing
            && found.attributes.userMetadata == attributes(fingerprint: completion.fingerprint).userMetadata
    }

    // MARK: Beginning

    /// - Throws: `invalid-option` for the checkpoint of another export; `source-changed`; `corrupt`.
    private func require(_ checkpoint: Checkpoint) throws(ImageError) {
        try export.require(checkpoint, of: basis)
        try export.requirePartLength(checkpoint.partLength, forObjectOf: try export.conversion.greatestLength())
        if let chosen = export.transfer.partLength, chosen != checkpoint.partLength {
            throw ImageError(
                .invalidOption,
                "the export began with parts of \(checkpoint.partLength) bytes, and can't go on with others of \(chosen); leave their "
                    + "length out, or begin anew without the checkpoint", path: export.checkpointPath)
        }
    }

    private func checkpoint(partLength: UInt64) -> Checkpoint {
        Checkpoint(of: export, basis, partLength: partLength)
    }

    private func attributes(fingerprint: UInt64?) -> ObjectAttributes {
        export.attributes(virtualSize: isSizeKnown ? basis.virtualSize : nil, fingerprint: fingerprint)
    }
}
