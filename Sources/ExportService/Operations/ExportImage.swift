internal import ECSWire
internal import GRDB
internal import ImageModel

/// What ExportImage is asked for.
private struct ExportRequest {
    var regionID: String
    var imageID: String
    var bucket: String
    var prefix: String?
    var format: String
    var roleName: String
    var isDryRun: Bool

    /// - Throws: `MissingParameter`, `InvalidParameter`, `InvalidImageFormat.Malformed`, `InvalidOSSPrefix.Malformed`.
    init(_ parameters: Parameters, formats: [String]) throws(APIError) {
        regionID = try parameters.required("RegionId")
        imageID = try parameters.required("ImageId")
        bucket = try parameters.required("OSSBucket")
        isDryRun = try parameters.flag("DryRun")
        format = parameters.text("ImageFormat")?.lowercased() ?? "raw"
        guard formats.contains(format) else { throw .malformedImageFormat }
        prefix = parameters.text("OSSPrefix")
        if let prefix { guard Self.isPrefix(prefix) else { throw .malformedPrefix } }
        roleName = parameters.text("RoleName") ?? SystemPolicies.exportRole
    }

    /// 1 to 30 letters and digits (ECS, "ExportImage", OSSPrefix).
    private static func isPrefix(_ text: String) -> Bool {
        (1...30).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "a")...UInt8(ascii: "z"):
                    true
                default: false
                }
            }
    }
}

extension ExportService {
    /// ExportImage.
    ///
    /// The first of these that is wrong is what the caller is told: the parameters themselves, the region, the white list, the
    /// image (`ImageRules`), the bucket, the role, the files of the disks, then within the transaction that makes the task whether
    /// the image is exported already, and the quotas of the account. A dry run asks all of it.
    func exportImage(_ call: APICall) throws(APIError) -> AnswerObject {
        let request = try ExportRequest(call.parameters, formats: worker.formats)
        guard try requireRegion(call).supportsExport else { throw .regionNotSupported }
        let account = try requireAccount(call)
        guard account.mayExport else { throw .notInWhiteList }
        let image = try requireImage(request.imageID, call, in: request.regionID)
        try ImageRules.requireExportable(image, of: account, as: request.format, settings)
        try requireBucket(request.bucket, call, in: request.regionID)
        let keys = image.disks.map { disk in
            ExportKeys.key(
                prefix: request.prefix, disk, format: request.format, packagesRaw: settings.packagesRaw)
        }
        try RoleRules.require(request.roleName, of: call.accountID, bucket: request.bucket, keys: keys, state)
        try requireReadable(image)
        let task = try enqueue(request, call, keys: keys)
        runner.wake()
        return [
            "RegionId": .text(request.regionID), "TaskId": .text(task.id), "ExportTaskId": .text(task.id),
        ]
    }

    /// - Throws: `ExportImageFailed` where a file is gone, can't be read, or is another than was registered.
    private func requireReadable(_ image: RegisteredImage) throws(APIError) {
        for disk in image.disks {
            let facts: DiskFacts
            do throws(ImageError) { facts = try worker.examine(disk.path, as: disk.format) } catch {
                throw .exportImageFailed(cause: error.description)
            }
            guard facts.virtualSize == disk.virtualSize else {
                throw .exportImageFailed(
                    cause:
                        "\(disk.path) has \(facts.virtualSize) bytes, and had \(disk.virtualSize) when it was registered"
                )
            }
        }
    }

    /// Makes the task, unless the image is exported already or a quota is used up; or makes none, where that is all that was asked.
    private func enqueue(_ request: ExportRequest, _ call: APICall, keys: [String]) throws(APIError) -> TaskRecord {
        let now = state.clock()
        return try transaction { db in
            guard let account = try db.account(call.accountID) else { return .failure(.accessKeyNotFound) }
            let running = try db.unfinishedTask(ofImage: request.imageID)
            if running?.action == .exportImage { return .failure(.imageIsExporting) }
            if let refusal = try db.quotaRefusal(account, now: now) { return .failure(refusal) }
            // What was read before the transaction may have changed meanwhile.
            guard let image = try db.image(request.imageID), image.image.status == .available,
                image.disks.count == keys.count
            else { return .failure(.incorrectImageStatus) }
            if request.isDryRun { return .failure(.dryRun) }
            let task = TaskRecord(
                id: RandomName.id("tsk"), accountID: call.accountID, regionID: request.regionID, action: .exportImage,
                status: .waiting, imageID: request.imageID, format: request.format, bucket: request.bucket,
                prefix: request.prefix, roleName: request.roleName, requestID: call.requestID, created: now,
                finished: nil, isCancelRequested: false, progress: 0, errorCode: nil, errorMessage: nil)
            try task.insert(db)
            for (disk, key) in zip(image.disks, keys) {
                try TaskObjectRecord(
                    taskID: task.id, position: disk.position, key: key, isDone: false, length: nil, crc64: nil,
                    fingerprint: nil
                ).insert(db)
            }
            return .success(task)
        }
    }
}

extension Database {
    private static let weekSeconds: UInt64 = 7 * 24 * 3600

    /// What the account has no room for any more; nil where there is room for an export.
    fileprivate func quotaRefusal(_ account: AccountRecord, now: UInt64) throws -> APIError? {
        let exports = TaskRecord.filter(
            Column("accountID") == account.id && Column("action") == TaskRecord.Action.exportImage)
        let running = try exports.filter(TaskRecord.isUnfinished).fetchCount(self)
        guard running < account.concurrentExports else {
            return .concurrentQuota(
                "The account has \(running) exports that wait or run, and may have \(account.concurrentExports) at a time."
            )
        }
        let begun = try exports.filter(Column("created") > now - min(now, Self.weekSeconds)).fetchCount(self)
        guard begun < account.weeklyExports else {
            return .weeklyQuota(
                "The account has begun \(begun) exports within seven days, and may begin \(account.weeklyExports).")
        }
        return nil
    }
}
