import ImageFiles
import ImageFormats
import ImageModel
import ImagePipeline
import ObjectStorage

/// One run of an export of an image of several files: an object for each, side by side, called as the image calls them.
///
/// How long a file is can be known only when the next is begun, and its head is written last. So all go into a nameless
/// temporary file first, and from there into the store one after the other, the one that is opened last: before that there are
/// extents, but no image.
struct FileSetExport {
    private let export: ObjectExport
    private let manifestKey: ObjectKey
    /// In the order of the image's files: the first is the one that is opened.
    private let keys: [ObjectKey]

    private var work: WorkOptions { export.conversion.work }

    /// - Parameter files: what the encoder says of them, with names that follow that of the object.
    /// - Throws: `invalid-option` for a key that a file can't have, or where a checkpoint is asked for.
    init(_ export: ObjectExport, _ files: [MemberFile]) throws(ImageError) {
        guard export.checkpointPath == nil else {
            throw ImageError(
                .invalidOption,
                "an export of several files can't go on where another ended; leave '--checkpoint' and '--resume' out, or choose "
                    + "monolithicSparse or streamOptimized, which are one file")
        }
        self.export = export
        manifestKey = try ExportName.manifest(of: export.key)
        var keys = [export.key]
        for file in files.dropFirst() { keys.append(try ExportName.sibling(of: export.key, named: file.name)) }
        self.keys = keys
    }

    func run() throws(ImageError) -> ExportResult {
        for key in keys + [manifestKey] { try export.requireFree(key) }
        let spool = try ScratchSpool()
        let result = try export.conversion.run(into: JoinedFilesSink(spool))
        let manifest = try Manifest(export.conversion, result)
        let files = try export.conversion.files(of: result, in: spool.spooled())
        // Before an old image is touched: a file that the store does not take has the export fail.
        var partLengths: [UInt64] = []
        for file in files { partLengths.append(try partLength(of: file)) }
        try work.requireGoingOn()
        if export.replacing { try removeOld() }
        let opened = try send(files, partLengths, manifest)
        try export.put(manifest, as: manifestKey, otherwise: "export it again with --overwrite")
        return ExportResult(
            key: export.key, manifestKey: manifestKey, manifest: manifest, summary: opened.summary,
            hasAttributes: opened.hasAttributes, wasResumed: false)
    }

    /// Sends all files, or leaves none of them.
    ///
    /// - Returns: what the store says of the one that is opened.
    private func send(_ files: [SourceWindow], _ partLengths: [UInt64], _ manifest: Manifest) throws(ImageError)
        -> FinishedObject
    {
        var sent: [ObjectKey] = []
        do throws(ImageError) {
            for index in files.indices.dropFirst() {
                try work.requireGoingOn()
                _ = try send(files[index], as: index, inPartsOf: partLengths[index], manifest)
                sent.append(keys[index])
            }
            return try send(files[0], as: 0, inPartsOf: partLengths[0], manifest)
        } catch {
            takeBack(sent)
            throw error
        }
    }

    private func partLength(of file: SourceWindow) throws(ImageError) -> UInt64 {
        try export.storing { () throws(StoreError) in
            try PartPlan.partLength(
                forObjectOf: file.length, chosen: export.transfer.partLength, limits: export.store.limits)
        }
    }

    /// Sends a file, and has the store say that it is the one that was made.
    private func send(_ file: SourceWindow, as index: Int, inPartsOf partLength: UInt64, _ manifest: Manifest)
        throws(ImageError) -> FinishedObject
    {
        let (key, written) = (keys[index], manifest.files[index])
        let attributes = export.attributes(
            virtualSize: manifest.virtualSize, fingerprint: manifest.content.crc64ecma)
        let session = MultipartSession(
            export.store,
            .init(key: key, attributes: attributes, partLength: partLength, replacing: export.replacing),
            limit: export.transfer.limit, progress: export.progress,
            isCancelled: { [cancellation = work.cancellation] in cancellation?.isCancelled ?? false })
        do throws(ImageError) {
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
            return try export.storing { () throws(StoreError) in
                try session.finish(attributes: attributes, length: sent.objectLength, crc64: crc64) {
                    // An image without its manifest is not what anybody who stops an export wants to be left with.
                    if key == export.key { work.cancellation?.disregard() }
                }
            }
        } catch {
            export.abort(session)
            // The answer may be lost, and not the object.
            if error.code != .destinationExists, isThere(key, written, attributes) { takeBack([key]) }
            throw error
        }
    }

    /// Whether an object is the file that was to become it; of that name there may be somebody else's.
    private func isThere(_ key: ObjectKey, _ file: WrittenFile, _ attributes: ObjectAttributes) -> Bool {
        guard let found = try? export.store.head(key) else { return false }
        return found.length == file.length && found.attributes.userMetadata == attributes.userMetadata
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
