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
        let isThere = try storing { () throws(StoreError) in
            do throws(StoreError) {
                _ = try store.head(key)
                return true
            } catch {
                if error.code == .noSuchObject { return false }
                throw error
            }
        }
        guard !isThere || replacing else {
            throw ImageError(
                .destinationExists, "the object exists; delete it, name another, or pass --overwrite",
                path: "\(store.name)/\(key)")
        }
    }

    /// What an object is said to be; the fingerprint is known last.
    func attributes(virtualSize: UInt64, fingerprint: UInt64?) -> ObjectAttributes {
        var attributes = attributes
        attributes.contentType = attributes.contentType ?? "application/octet-stream"
        attributes.userMetadata["lathe-format"] = conversion.format.rawValue
        attributes.userMetadata["lathe-virtual-size"] = String(virtualSize)
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
            }
        } _: { () throws(ImageError) in
            do throws(ImageError) { return try conversion.run(into: sink) } catch {
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
            throw error.imageError
        }
    }

    func storing<Result>(_ body: () throws(StoreError) -> Result) throws(ImageError) -> Result {
        do throws(StoreError) { return try body() } catch { throw error.imageError }
    }
}
