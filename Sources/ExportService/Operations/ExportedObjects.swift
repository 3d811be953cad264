internal import ECSWire
internal import GRDB
internal import ObjectStorage

/// What the console asks for beside the vendor's operations: what has been exported, whether it is still right, and where to.
extension ExportService {
    /// DescribeExportedObjects: those of tasks that have finished, the newest first; of one task, where `TaskId` names it.
    func describeExportedObjects(_ call: APICall) throws(APIError) -> AnswerObject {
        let region = try requireRegion(call)
        let page = try call.parameters.page()
        var ids: [String]?
        if call.parameters.text("TaskId") != nil { ids = [try requireTask(call).id] }
        let (total, objects) = try keeping { () throws(StateError) in
            try state.exportedObjects(of: call.accountID, in: region.id, tasks: ids, page)
        }
        var answer = page.answer(total: total, regionID: region.id)
        answer.add("Objects", .list(item: "Object", objects.map { .object(Self.describe($0.task, $0.object)) }))
        return answer
    }

    private static func describe(_ task: TaskRecord, _ object: TaskObjectRecord) -> AnswerObject {
        var answer: AnswerObject = [
            "TaskId": .text(task.id), "ImageId": .text(task.imageID), "ImageFormat": .text(task.format),
            "OSSBucket": .text(task.bucket), "OSSObject": .text(object.key),
            "Manifest": .text(object.key + ".manifest.json"),
        ]
        answer.add("Length", object.length.map { .text(String($0)) })
        answer.add("CRC64", object.crc64.map { .text($0) })
        answer.add("Fingerprint", object.fingerprint.map { .text($0) })
        answer.add("FinishedTime", task.finished.map { .time($0) })
        return answer
    }

    /// VerifyExportedObject: reads an object whole and holds it against its manifest and against what the task noted.
    ///
    /// The first call begins it, and each call says how far it is; once it is over, calls say how it ended, until one with
    /// `Restart=true` begins anew.
    func verifyExportedObject(_ call: APICall) throws(APIError) -> AnswerObject {
        let task = try requireTask(call)
        let key = try call.parameters.required("OSSObject")
        let restarts = try call.parameters.flag("Restart")
        guard task.action == .exportImage, task.status == .finished else { throw .incorrectTaskStatus }
        let objects = try keeping { () throws(StateError) in try state.objects(ofTask: task.id) }
        guard let object = objects.first(where: { $0.key == key }) else {
            throw APIError(404, "InvalidOSSObject.NotFound", "The specified OSSObject is not one of the task's.")
        }
        // The bucket may have become somebody else's since.
        _ = try BucketRules.require(task.bucket, of: call.accountID, in: task.regionID, state)
        let outcome = try verifications.ask(task, object, restarts: restarts)
        var answer: AnswerObject = [
            "TaskId": .text(task.id), "OSSBucket": .text(task.bucket), "OSSObject": .text(key),
            "Status": .text(outcome.name), "Progress": .text("\(outcome.percent)%"),
        ]
        if case .failed(let reason) = outcome { answer.add("Message", .text(reason)) }
        if case .verified(let found) = outcome {
            answer.add("Length", .text(String(found.length)))
            answer.add("CRC64", .text(String(found.crc64)))
            answer.add("Fingerprint", .text(String(found.fingerprint)))
        }
        return answer
    }

    /// DescribeBuckets: those of the account in a region, with what keeps one from taking an export.
    func describeBuckets(_ call: APICall) throws(APIError) -> AnswerObject {
        let region = try requireRegion(call)
        let rows = try keeping { () throws(StateError) in try state.buckets(ofAccount: call.accountID) }
        let items = rows.filter { $0.regionID == region.id }.map { row in
            var answer: AnswerObject = [
                "Name": .text(row.name), "RegionId": .text(row.regionID), "CreationTime": .time(row.created),
            ]
            // One that can't be reached now is named all the same.
            let facts = try? buckets.facts(of: row.name)
            answer.add("StorageClass", facts.map { .text($0.storageClass) })
            answer.add("Encryption", facts?.encryption.map { .text($0) })
            return AnswerValue.object(answer)
        }
        return [
            "RegionId": .text(region.id), "TotalCount": .number(Int64(items.count)),
            "Buckets": .list(item: "Bucket", items),
        ]
    }
}

extension ServiceState {
    fileprivate func exportedObjects(of accountID: String, in regionID: String, tasks ids: [String]?, _ page: Page)
        throws(StateError) -> (total: Int, [(task: TaskRecord, object: TaskObjectRecord)])
    {
        try database.read { db in
            var tasks = TaskRecord.filter(Column("accountID") == accountID && Column("regionID") == regionID)
                .filter(
                    Column("action") == TaskRecord.Action.exportImage && Column("status") == TaskRecord.Status.finished)
            if let ids { tasks = tasks.filter(ids.contains(Column("id"))) }
            let named = tasks.select(Column("id"), as: String.self)
            let objects = TaskObjectRecord.filter(named.contains(Column("taskID")))
            let found = try objects.order(
                sql: "(SELECT finished FROM task WHERE task.id = taskID) DESC, taskID, position"
            ).limit(page.size, offset: page.offset).fetchAll(db)
            var pairs: [(task: TaskRecord, object: TaskObjectRecord)] = []
            for object in found {
                guard let task = try TaskRecord.filter(Column("id") == object.taskID).fetchOne(db) else { continue }
                pairs.append((task, object))
            }
            return (try objects.fetchCount(db), pairs)
        }
    }
}
