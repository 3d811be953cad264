internal import Foundation
internal import ObjectStorage
internal import Synchronization
internal import Testing

extension ObjectStoreConformance {
    /// The bytes of parts: all of the usual length but the last.
    private func pieces(_ name: String, _ count: Int, last: Int = 12_345) -> [[UInt8]] {
        (1...count).map { content("\(name)-\($0)", $0 == count ? last : Int(capabilities.partLength)) }
    }

    private func begin(_ key: ObjectKey, replacing: Bool = true) throws -> MultipartUpload {
        try store.initiate(key, .init(), partLength: capabilities.partLength, replacing: replacing)
    }

    func partsInAnyOrderBecomeAnObject() throws {
        let key = try key("multipart/whole")
        let pieces = pieces("order", 4)
        let upload = try begin(key)
        require(upload.key == key && !upload.id.isEmpty, "what initiate answers: \(upload)")
        require(try store.parts(of: upload).isEmpty, "parts of an upload that was just begun")
        var parts: [StoredPart] = []
        for number in [4, 2, 1, 3] {
            let part = try store.upload(ObjectBody(pieces[number - 1]), asPart: number, of: upload)
            require(part.number == number && part.length == UInt64(pieces[number - 1].count), "a part: \(part)")
            expect(.noSuchObject, "head before it is complete") { _ = try store.head(key) }
            parts.append(part)
        }
        let listed = try store.parts(of: upload)
        parts.sort { $0.number < $1.number }
        require(listed.map(\.number) == [1, 2, 3, 4], "parts in order: \(listed)")
        require(listed.map(\.tag) == parts.map(\.tag), "tags of parts: \(listed)")
        require(listed.map(\.length) == pieces.map { UInt64($0.count) }, "lengths of parts: \(listed)")
        if capabilities.keepsCRC64 {
            require(listed.map(\.crc64) == pieces.map { ObjectBody($0).crc64 }, "checksums of parts: \(listed)")
        }
        let summary = try store.complete(upload, parts: listed, replacing: false)
        let head = try store.head(key)
        if capabilities.keepsTagOfCompletion {
            require(head.tag == summary.tag, "complete answers the tag \(summary.tag), head \(head.tag)")
        }
        try expect(key, holds: pieces.flatMap { $0 }, "parts out of order")
        try store.delete(key)
    }

    func partsWithGapsBecomeAnObject() throws {
        guard capabilities.allowsGaps else { return }
        let key = try key("multipart/gaps")
        let pieces = pieces("gaps", 3)
        let upload = try begin(key)
        var parts: [StoredPart] = []
        for (number, piece) in zip([1, 5, 8], pieces) {
            parts.append(try store.upload(ObjectBody(piece), asPart: number, of: upload))
        }
        _ = try store.upload(ObjectBody(content("left out", 100)), asPart: 9, of: upload)
        _ = try store.complete(upload, parts: parts, replacing: true)
        try expect(key, holds: pieces.flatMap { $0 }, "parts with gaps, and one that was left out")
        try store.delete(key)
    }

    func replacedPartsCount() throws {
        guard capabilities.replacesParts else { return }
        let key = try key("multipart/replaced")
        var pieces = pieces("replaced", 3)
        let upload = try begin(key)
        var old: [StoredPart] = []
        for number in 1...3 { old.append(try store.upload(ObjectBody(pieces[number - 1]), asPart: number, of: upload)) }
        pieces[1] = content("again", Int(capabilities.partLength))
        pieces[2] = content("again, and shorter", 17)
        for number in [2, 3] { _ = try store.upload(ObjectBody(pieces[number - 1]), asPart: number, of: upload) }
        let parts = try store.parts(of: upload)
        require(parts.map(\.length) == pieces.map { UInt64($0.count) }, "parts that were replaced: \(parts)")
        expect(.invalidPart, "completing with a part that was replaced") {
            _ = try store.complete(upload, parts: old, replacing: true)
        }
        _ = try store.complete(upload, parts: parts, replacing: true)
        try expect(key, holds: pieces.flatMap { $0 }, "parts that were replaced")
        try store.delete(key)
    }

    func manyPartsAreListed() throws {
        let key = try key("multipart/many")
        let upload = try begin(key)
        let numbers = (0..<capabilities.listedPartCount).map { 1 + $0 * 7 % 10_000 }
        for number in numbers { _ = try store.upload(ObjectBody([UInt8(number % 251)]), asPart: number, of: upload) }
        let listed = try store.parts(of: upload)
        let isSame = listed.map(\.number) == numbers.sorted()
        require(isSame && listed.allSatisfy { $0.length == 1 }, "\(numbers.count) parts, \(listed.count) listed")
        try store.abort(upload)
    }

    func abortedUploadsAreGone() throws {
        let key = try key("multipart/aborted")
        let upload = try begin(key)
        let part = try store.upload(ObjectBody(content("aborted", 5000)), asPart: 1, of: upload)
        try store.abort(upload)
        expectNothing(of: upload, part, "an upload that was aborted")
        expect(.noSuchObject, "the object of an upload that was aborted") { _ = try store.head(key) }
    }

    private func expectNothing(of upload: MultipartUpload, _ part: StoredPart, _ what: String) {
        expect(.noSuchUpload, "parts of \(what)") { _ = try store.parts(of: upload) }
        guard capabilities.namesUnknownUploads else { return }
        expect(.noSuchUpload, "a part for \(what)") { _ = try store.upload(ObjectBody([1]), asPart: 1, of: upload) }
        expect(.noSuchUpload, "completing \(what)") { _ = try store.complete(upload, parts: [part], replacing: true) }
        guard capabilities.missesAbortedUploads else { return }
        expect(.noSuchUpload, "aborting \(what)") { try store.abort(upload) }
    }

    func unknownUploadsAreErrors() throws {
        let key = try key("multipart/unknown")
        let real = try begin(key)
        let unknown = MultipartUpload(key: key, id: String(real.id.reversed().map { $0 == "0" ? "1" : $0 }))
        expectNothing(of: unknown, StoredPart(number: 1, length: 1, tag: "0"), "an upload that never was")
        try store.abort(real)
    }

    func wrongPartsAreRefused() throws {
        let key = try key("multipart/wrong")
        let pieces = pieces("wrong", 2)
        let upload = try begin(key)
        let first = try store.upload(ObjectBody(pieces[0]), asPart: 1, of: upload)
        let second = try store.upload(ObjectBody(pieces[1]), asPart: 2, of: upload)
        var wrong = second
        wrong.tag = first.tag
        expect(.invalidPart, "a wrong tag") { _ = try store.complete(upload, parts: [first, wrong], replacing: true) }
        guard capabilities.keepsUploadsThatFail else { return }
        var missing = second
        missing.number = 3
        expect(.invalidPart, "a part that is missing") {
            _ = try store.complete(upload, parts: [first, missing], replacing: true)
        }
        expect(.noSuchObject, "head behind a completion that failed") { _ = try store.head(key) }
        // Nothing is lost by it.
        _ = try store.complete(upload, parts: [first, second], replacing: true)
        try expect(key, holds: pieces.flatMap { $0 }, "completed at the third attempt")
        try store.delete(key)
    }

    func completedUploadsAreGone() throws {
        guard capabilities.forgetsCompletedUploads else { return }
        let key = try key("multipart/twice")
        let upload = try begin(key)
        let part = try store.upload(ObjectBody([1, 2]), asPart: 1, of: upload)
        _ = try store.complete(upload, parts: [part], replacing: true)
        expectNothing(of: upload, part, "an upload that was completed")
        try expect(key, holds: [1, 2], "completed twice")
        try store.delete(key)
    }

    func completionReplacesOrNot() throws {
        let key = try key("multipart/there")
        let upload = try begin(key, replacing: !capabilities.refusesReplacing)
        let part = try store.upload(ObjectBody([2]), asPart: 1, of: upload)
        try put([1], key)
        if capabilities.refusesReplacing {
            expect(.objectExists, "completing over what is there") {
                _ = try store.complete(upload, parts: [part], replacing: false)
            }
            try expect(key, holds: [1], "not replaced by a completion")
            try store.delete(key)
        }
        _ = try store.complete(upload, parts: [part], replacing: !capabilities.refusesReplacing)
        try expect(key, holds: [2], "completed")
        try store.delete(key)
    }

    func uploadsAreListed() throws {
        guard capabilities.listsUploads else { return }
        let names = ["u/a", "u/a-b", "u/b", "u/b", "v"]
        let uploads = try names.map { try begin(key($0)) }
        let listed = try store.uploads(prefix: "conformance/u/")
        require(listed.map(\.key.description) == names.dropLast().map { "conformance/\($0)" }, "uploads: \(listed)")
        require(Set(listed.map(\.id)) == Set(uploads.dropLast().map(\.id)), "identifiers of uploads")
        let areDated = capabilities.datesUploads
        require(
            !areDated || listed.allSatisfy { ($0.initiated ?? 0) > 1_500_000_000 }, "when uploads were begun: \(listed)"
        )
        for upload in listed { try store.abort(upload) }
        require(try store.uploads(prefix: "").map(\.id) == [uploads[4].id], "the upload that is left")
        try store.abort(uploads[4])
    }

    func partsComeFromManyThreads() throws {
        let key = try key("multipart/threads")
        let pieces = pieces("threads", 9)
        let upload = try begin(key)
        let failures = inThreads(4) { thread in
            for number in stride(from: thread + 1, through: pieces.count, by: 4) {
                _ = try store.upload(ObjectBody(pieces[number - 1]), asPart: number, of: upload)
            }
        }
        require(failures.isEmpty, "parts from threads: \(failures)")
        _ = try store.complete(upload, parts: store.parts(of: upload), replacing: true)
        try expect(key, holds: pieces.flatMap { $0 }, "parts from threads")
        try store.delete(key)
    }
}

/// Runs something on threads of its own, and waits for all; answers what they threw.
public func inThreads(_ count: Int, _ body: @escaping @Sendable (_ thread: Int) throws -> Void) -> [any Error] {
    let failures = Failures()
    let ended = DispatchGroup()
    for thread in 0..<count {
        ended.enter()
        Thread.detachNewThread {
            do { try body(thread) } catch { failures.add(error) }
            ended.leave()
        }
    }
    ended.wait()
    return failures.all
}

private final class Failures: Sendable {
    private let errors = Mutex<[any Error]>([])

    func add(_ error: any Error) { errors.withLock { $0.append(error) } }
    var all: [any Error] { errors.withLock { $0 } }
}
