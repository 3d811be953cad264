import ImageFiles
import ImageFormats
import ImageModel
import ImagePipeline
import ObjectStorage

/// One run of an export of an image of several files: an object for each, side by side, called as the image calls them.
///
/// How long a file is can be known only when the next is begun, and its head is written last. So all go into a nameless
/// temporary file first, and from there into the store. All of the extents is sent before any of it becomes an object, so what is to
/// be replaced stays until the store has the new bytes; then the extents are completed, one short call each, and the one that is
/// opened comes last: before that there are extents, but no image. A run that goes on where another ended makes the files again,
/// and sends what the store does not have.
struct FileSetExport {
    private let export: ObjectExport
    private let manifestKey: ObjectKey
    /// In the order of the image's files: the first is the one that is opened.
    private let keys: [ObjectKey]
    private let checkpointFile: CheckpointFile?
    private let basis: Checkpoint.Basis

    private var work: WorkOptions { export.conversion.work }

    /// - Parameter files: what the encoder says of them, with names that follow that of the object.
    /// - Throws: `invalid-option` for a key that a file can't have.
    init(_ export: ObjectExport, _ files: [MemberFile]) throws(ImageError) {
        self.export = export
        manifestKey = try ExportName.manifest(of: export.key)
        var keys = [export.key]
        for file in files.dropFirst() { keys.append(try ExportName.sibling(of: export.key, named: file.name)) }
        self.keys = keys
        checkpointFile = export.checkpointPath.map { CheckpointFile(path: $0) }
        basis = try Checkpoint.Basis(export.conversion)
    }

    func run() throws(ImageError) -> ExportResult {
        guard let checkpointFile else { return try run(after: nil) }
        return try checkpointFile.whileOurs { () throws(ImageError) in
            let checkpoint = try checkpointFile.read()
            if let checkpoint {
                try export.require(checkpoint, of: basis)
                try export.requireLocation(of: checkpoint)
            }
            let result = try run(after: checkpoint)
            try checkpointFile.remove()
            return result
        }
    }

    private func run(after before: Checkpoint?) throws(ImageError) -> ExportResult {
        var checkpoint = before ?? Checkpoint(of: export, basis, partLength: 0, files: .init())
        for (index, key) in keys.enumerated() where !checkpoint.hasBegun(index) { try export.requireFree(key) }
        let isNew = !checkpoint.hasBegun(0)
        if isNew { try export.requireFree(manifestKey) }
        let spool = try ScratchSpool()
        let result = try export.conversion.run(into: export.transfer.limiting(JoinedFilesSink(spool)))
        let manifest = try Manifest(export.conversion, result)
        let files = try export.conversion.files(of: result, in: spool.spooled())
        // Before an old image is touched: a file that the store does not take has the export fail.
        var partLengths: [UInt64] = []
        for file in files { partLengths.append(try partLength(of: file)) }
        try work.requireGoingOn()
        let extents = try sendExtents(files, partLengths, manifest, &checkpoint)
        let replacesOld = export.replacing && isNew && (checkpoint.files?.sent.isEmpty ?? true)
        try complete(extents, removingOld: replacesOld, manifest, &checkpoint)
        let opened = try sendOpened(files[0], inPartsOf: partLengths[0], manifest, &checkpoint)
        try export.put(
            manifest, as: manifestKey,
            otherwise: checkpointFile == nil ? "export it again with --overwrite" : "the same command puts it there")
        return ExportResult(
            key: export.key, manifestKey: manifestKey, manifest: manifest, summary: opened.summary,
            hasAttributes: opened.hasAttributes, wasResumed: before != nil)
    }

    /// A file whose bytes the store has.
    private enum Sent {
        /// As an object already, from a run before.
        case object(FinishedObject)
        /// As the parts of an upload.
        case parts(MultipartSession)
    }

    /// Sends the bytes of all extents, and makes no object of them.
    ///
    /// Where it fails, the uploads are dropped, unless a checkpoint is kept.
    private func sendExtents(
        _ files: [SourceWindow], _ partLengths: [UInt64], _ manifest: Manifest, _ checkpoint: inout Checkpoint
    ) throws(ImageError) -> [Int: Sent] {
        var sent: [Int: Sent] = [:]
        do throws(ImageError) {
            for index in files.indices.dropFirst() {
                try work.requireGoingOn()
                sent[index] = try send(files[index], as: index, inPartsOf: partLengths[index], manifest, &checkpoint)
            }
            return sent
        } catch {
            if checkpointFile == nil { drop(sent.values) }
            throw error
        }
    }

    /// Makes objects of extents whose bytes the store has, once the old image is no longer one.
    ///
    /// Where it fails, those that are objects go again, and the uploads of the others, unless a checkpoint is kept.
    private func complete(
        _ extents: [Int: Sent], removingOld: Bool, _ manifest: Manifest, _ checkpoint: inout Checkpoint
    ) throws(ImageError) {
        var completed: [ObjectKey] = []
        var left = extents
        do throws(ImageError) {
            if removingOld { try removeOld() }
            for index in extents.keys.sorted() {
                try work.requireGoingOn()
                if case .parts(let session) = extents[index] {
                    _ = try finish(session, manifest.files[index], index, manifest, &checkpoint)
                }
                left[index] = nil
                completed.append(keys[index])
            }
        } catch {
            if checkpointFile == nil {
                drop(left.values)
                takeBack(completed)
            }
            throw error
        }
    }

    /// Puts the file that is opened, by which the extents become an image.
    private func sendOpened(
        _ file: SourceWindow, inPartsOf partLength: UInt64, _ manifest: Manifest, _ checkpoint: inout Checkpoint
    ) throws(ImageError) -> FinishedObject {
        do throws(ImageError) {
            try work.requireGoingOn()
            switch try send(file, as: 0, inPartsOf: partLength, manifest, &checkpoint) {
            case .object(let object): return object
            case .parts(let session): return try finish(session, manifest.files[0], 0, manifest, &checkpoint)
            }
        } catch {
            if checkpointFile == nil { takeBack(Array(keys.dropFirst())) }
            throw error
        }
    }

    private func drop(_ files: some Sequence<Sent>) {
        for case .parts(let session) in files { export.abort(session) }
    }

    private func partLength(of file: SourceWindow) throws(ImageError) -> UInt64 {
        try export.storing { () throws(StoreError) in
            try PartPlan.partLength(
                forObjectOf: file.length, chosen: export.transfer.partLength, limits: export.store.limits)
        }
    }

    /// Sends the bytes of a file, unless the store has it from a run before.
    ///
    /// - Parameter checkpoint: how far the export has come before, and then after.
    private func send(
        _ file: SourceWindow, as index: Int, inPartsOf partLength: UInt64, _ manifest: Manifest,
        _ checkpoint: inout Checkpoint
    ) throws(ImageError) -> Sent {
        let written = manifest.files[index]
        let attributes = attributes(manifest)
        let before = checkpoint.files?.begun?[index]
        let begun = try before.flatMap { (before) throws(ImageError) in
            try export.upload(before.uploadID, to: keys[index])
        }
        if let before, begun != nil {
            try export.requirePartLength(before.partLength, forObjectOf: file.length)
        } else if let whole = try wholeObject(index, written, attributes, checkpoint) {
            checkpoint.end(index, tag: whole.summary.tag)
            try checkpointFile?.write(checkpoint)
            return .object(whole)
        } else {
            if before?.uploadID.isEmpty == true { export.abortUnnotedUpload(of: checkpoint, to: keys[index]) }
            checkpoint.begin(index, inPartsOf: partLength)
            try checkpointFile?.write(checkpoint)
        }
        let session = session(
            for: index, attributes, partLength: begun == nil ? partLength : before?.partLength ?? partLength,
            resuming: begun, checkpoint)
        do throws(ImageError) {
            try send(file, written, by: session)
            checkpoint.note(session.uploadID, of: index)
            return .parts(session)
        } catch {
            if checkpointFile == nil { export.abort(session) }
            throw error
        }
    }

    private func attributes(_ manifest: Manifest) -> ObjectAttributes {
        export.attributes(virtualSize: manifest.virtualSize, fingerprint: manifest.content.crc64ecma)
    }

    private func session(
        for index: Int, _ attributes: ObjectAttributes, partLength: UInt64,
        resuming: (upload: MultipartUpload, parts: [StoredPart])?, _ checkpoint: Checkpoint
    ) -> MultipartSession {
        MultipartSession(
            export.store,
            .init(
                key: keys[index], attributes: attributes, partLength: partLength, replacing: export.replacing,
                // What is put whole is an object at once.
                putsWhole: index == 0),
            resuming: resuming, limit: export.transfer.limit, progress: export.progress,
            isCancelled: { [cancellation = work.cancellation] in cancellation?.isCancelled ?? false },
            onInitiate: { [checkpointFile] (upload) throws(StoreError) in
                var noted = checkpoint
                noted.note(upload.id, of: index)
                try checkpointFile?.keep(noted)
            })
    }

    private func send(_ file: SourceWindow, _ written: WrittenFile, by session: MultipartSession) throws(ImageError) {
        let copy = Conversion(
            try DiskImage(file, format: .raw), to: .raw,
            work: WorkOptions(threads: work.threads, cancellation: work.cancellation))
        let sent = try export.send(copy, by: session)
        guard sent.objectLength == written.length, let crc64 = sent.objectCRC64,
            crc64 == written.checksums?.crc64ecma
        else {
            throw ImageError(
                .verificationFailed,
                "the temporary file does not give back what was written to it; look after the disk that TMPDIR is on",
                path: file.name)
        }
    }

    /// Makes an object of a file whose bytes the store has, and has the store say that it is the one that was made.
    private func finish(
        _ session: MultipartSession, _ written: WrittenFile, _ index: Int, _ manifest: Manifest,
        _ checkpoint: inout Checkpoint
    ) throws(ImageError) -> FinishedObject {
        let attributes = attributes(manifest)
        do throws(ImageError) {
            let finished = try export.storing { () throws(StoreError) in
                try session.finish(
                    attributes: attributes, length: written.length, crc64: written.checksums?.crc64ecma ?? 0
                ) {
                    // An image without its manifest is not what anybody who stops an export wants to be left with.
                    if index == 0 { work.cancellation?.disregard() }
                }
            }
            checkpoint.end(index, tag: finished.summary.tag)
            try checkpointFile?.write(checkpoint)
            return finished
        } catch {
            guard checkpointFile == nil else { throw error }
            export.abort(session)
            // The answer may be lost, and not the object.
            if error.code != .destinationExists, let found = try? export.store.head(keys[index]),
                isFile(found, written, attributes)
            {
                takeBack([keys[index]])
            }
            throw error
        }
    }

    /// The object of a file that a run before has sent to its end.
    ///
    /// - Returns: nil where there is none, or another.
    private func wholeObject(
        _ index: Int, _ file: WrittenFile, _ attributes: ObjectAttributes, _ checkpoint: Checkpoint
    ) throws(ImageError) -> FinishedObject? {
        guard checkpoint.hasBegun(index), let found = try export.head(keys[index]) else { return nil }
        let isOurs: Bool
        if let tag = checkpoint.files?.sent[index] {
            isOurs = found.tag == tag && found.length == file.length
        } else {
            // The answer was lost. Where the store keeps no CRC-64, an object that was to be replaced may look the same.
            isOurs = isFile(found, file, attributes) && (found.crc64 != nil || !export.replacing)
        }
        return isOurs ? FinishedObject(summary: found, hasAttributes: true, parts: 0) : nil
    }

    /// Whether an object is the file that was to become it; of that name there may be somebody else's.
    private func isFile(_ found: ObjectSummary, _ file: WrittenFile, _ attributes: ObjectAttributes) -> Bool {
        found.length == file.length && found.attributes.userMetadata == attributes.userMetadata
            && (found.crc64 == nil || found.crc64 == file.checksums?.crc64ecma)
    }

    /// Removes the descriptor of the image that is replaced, and its manifest: from now on its extents are not those that it names.
    private func removeOld() throws(ImageError) {
        try export.storing { () throws(StoreError) in
            try export.store.delete(manifestKey)
            try export.store.delete(export.key)
        }
    }

    /// Removes extents that are there already, since the image will not be.
    private func takeBack(_ keys: [ObjectKey]) {
        for key in keys {
            do throws(StoreError) { try export.store.delete(key) } catch {
                export.onNote("\(export.store.name)/\(key) could not be removed (\(error)); delete it")
            }
        }
    }
}

extension Checkpoint {
    /// Whether a file of several has been sent, or part of it.
    fileprivate func hasBegun(_ index: Int) -> Bool { files?.sent[index] != nil || files?.begun?[index] != nil }

    fileprivate mutating func begin(_ index: Int, inPartsOf partLength: UInt64) {
        begun = Self.now
        files?.sent[index] = nil
        var begun = files?.begun ?? [:]
        begun[index] = BegunFile(uploadID: "", partLength: partLength)
        files?.begun = begun
    }

    fileprivate mutating func note(_ uploadID: String?, of index: Int) {
        files?.begun?[index]?.uploadID = uploadID ?? ""
    }

    fileprivate mutating func end(_ index: Int, tag: String) {
        files?.sent[index] = tag
        files?.begun?[index] = nil
    }
}
