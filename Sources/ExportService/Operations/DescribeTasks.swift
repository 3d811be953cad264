internal import ECSWire
internal import GRDB

/// Which tasks are asked for.
private struct TaskQuery {
    var regionID: String
    var accountID: String
    var ids: [String]?
    var action: TaskRecord.Action?
    /// nil for any: other words than those of a status are passed over (ECS, "DescribeTasks", TaskStatus).
    var statuses: [TaskRecord.Status]?
    var imageIDs: [String]
    var start: UInt64?
    var end: UInt64?
    /// Whether it asks for what no task here has.
    var isEmpty = false

    init(_ call: APICall, _ region: RegionRecord) throws(APIError) {
        let parameters = call.parameters
        regionID = region.id
        accountID = call.accountID
        ids = try parameters.commaList("TaskIds", atMost: 100)
        if let text = parameters.text("TaskAction") {
            action = TaskRecord.Action(rawValue: text)
            isEmpty = action == nil
        }
        let words = parameters.text("TaskStatus")?.split(separator: ",") ?? []
        let known = words.compactMap { TaskRecord.Status(rawValue: String($0)) }
        statuses = known.isEmpty ? nil : known
        imageIDs = try parameters.list("ResourceIds", atMost: 100)
        start = try parameters.time("StartTime")
        end = try parameters.time("EndTime")
        // No operation here makes groups of tasks.
        if parameters.text("TaskGroupId") != nil { isEmpty = true }
    }

    var request: QueryInterfaceRequest<TaskRecord> {
        var request = TaskRecord.filter(Column("accountID") == accountID && Column("regionID") == regionID)
        if isEmpty { return request.none() }
        if let ids { request = request.filter(ids.contains(Column("id"))) }
        if let action { request = request.filter(Column("action") == action) }
        if let statuses { request = request.filter(statuses.contains(Column("status"))) }
        if !imageIDs.isEmpty { request = request.filter(imageIDs.contains(Column("imageID"))) }
        if let start { request = request.filter(Column("created") >= start) }
        if let end { request = request.filter(Column("created") <= end) }
        return request
    }
}

extension ExportService {
    /// DescribeTasks: the newest first.
    func describeTasks(_ call: APICall) throws(APIError) -> AnswerObject {
        let region = try requireRegion(call)
        let page = try call.parameters.page()
        let query = try TaskQuery(call, region)
        let (total, tasks) = try keeping { () throws(StateError) in
            try state.database.read { db in
                (
                    try query.request.fetchCount(db),
                    try query.request.order(Column("created").desc, Column.rowID.desc)
                        .limit(page.size, offset: page.offset).fetchAll(db)
                )
            }
        }
        var answer = page.answer(total: total, regionID: region.id)
        answer.add("TaskSet", .list(item: "Task", tasks.map { .object($0.summary) }))
        return answer
    }

    /// DescribeTaskAttribute: with the objects of the task, one a disk.
    func describeTaskAttribute(_ call: APICall) throws(APIError) -> AnswerObject {
        let task = try requireTask(call)
        let objects = try keeping { () throws(StateError) in try state.objects(ofTask: task.id) }
        var answer: AnswerObject = [
            "RegionId": .text(task.regionID), "TaskId": .text(task.id), "TaskAction": .text(task.action.rawValue),
            "TaskStatus": .text(task.status.rawValue), "TaskProcess": .text("\(task.progress)%"),
            "SupportCancel": .text("\(task.canBeCancelled)"), "TotalCount": .number(Int64(objects.count)),
            "SuccessCount": .number(Int64(objects.filter(\.isDone).count)),
            "FailedCount": .number(task.status == .failed ? Int64(objects.filter { !$0.isDone }.count) : 0),
            "ResourceId": .text(task.imageID), "CreationTime": .minute(task.created),
        ]
        answer.add("FinishedTime", task.finished.map { .minute($0) })
        answer.add(
            "OperationProgressSet",
            .list(item: "OperationProgress", objects.map { .object(Self.progress(of: $0, in: task)) }))
        return answer
    }

    private static func progress(of object: TaskObjectRecord, in task: TaskRecord) -> AnswerObject {
        let items = [
            ("OSSBucket", task.bucket), ("OSSObject", object.key), ("ImageFormat", task.format),
        ]
        let hasFailed = task.status == .failed && !object.isDone
        let status = object.isDone ? "Success" : hasFailed ? "Failed" : task.status.rawValue
        var progress: AnswerObject = [
            "OperationStatus": .text(status),
            "RelatedItemSet": .list(
                item: "RelatedItem",
                items.map { .object(["Name": .text($0.0), "Value": .text($0.1)]) }),
        ]
        if hasFailed || task.errorCode == TaskReason.leftoverCode {
            progress.add("ErrorCode", task.errorCode.map { .text($0) })
            progress.add("ErrorMsg", task.errorMessage.map { .text($0) })
        }
        return progress
    }

    /// CancelTask: what waits is over at once, and what runs as soon as it has taken back what it made.
    func cancelTask(_ call: APICall) throws(APIError) -> AnswerObject {
        let id = try requireTask(call).id
        let now = state.clock()
        // An import has an image and may have files, which go with it; whoever runs tasks sees to that.
        try transaction { (db) -> Result<Void, APIError> in
            guard var task = try TaskRecord.filter(Column("id") == id).fetchOne(db) else {
                return .failure(.taskNotFound)
            }
            guard task.canBeCancelled else { return .failure(.incorrectTaskStatus) }
            task.isCancelRequested = true
            if task.status == .waiting, task.action == .exportImage {
                task.status = .deleted
                task.finished = now
            }
            try task.update(db)
            return .success(())
        }
        runner.cancel(id)
        return AnswerObject()
    }

    /// - Throws: `InvalidTaskId.NotFound`, also for a task of another account or region.
    func requireTask(_ call: APICall) throws(APIError) -> TaskRecord {
        let region = try requireRegion(call)
        let id = try call.parameters.required("TaskId")
        guard let task = try keeping({ () throws(StateError) in try state.task(id) }), task.accountID == call.accountID,
            task.regionID == region.id
        else { throw .taskNotFound }
        return task
    }
}

extension TaskRecord {
    var canBeCancelled: Bool { !status.isOver && !isCancelRequested }

    /// What a list says of it.
    fileprivate var summary: AnswerObject {
        var summary: AnswerObject = [
            "TaskId": .text(id), "TaskAction": .text(action.rawValue), "TaskStatus": .text(status.rawValue),
            "SupportCancel": .text("\(canBeCancelled)"), "ResourceId": .text(imageID), "CreationTime": .minute(created),
        ]
        summary.add("FinishedTime", finished.map { .minute($0) })
        return summary
    }
}
