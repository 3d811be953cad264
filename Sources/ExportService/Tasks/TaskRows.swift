internal import GRDB

/// How a task's rows move from one status to the next, each time in one transaction.
extension ServiceState {
    /// Claims one that was cancelled and has only to be taken back, or else the task that has waited longest, and answers it as it is then; nil where none waits.
    func claimTask() throws(StateError) -> TaskRecord? {
        try database.write { db in
            let oldest = TaskRecord.filter(Column("status") == TaskRecord.Status.waiting)
                .order(Column("isCancelRequested").desc, Column("created"), Column.rowID)
            guard var task = try oldest.fetchOne(db) else { return nil }
            task.status = .processing
            try task.update(db, columns: ["status"])
            return task
        }
    }

    /// The ids of tasks that were under way when the service ended, the oldest first.
    func interruptedTasks() throws(StateError) -> [String] {
        try database.read { db in
            try TaskRecord.filter(Column("status") == TaskRecord.Status.processing)
                .order(Column("created"), Column.rowID).fetchAll(db).map(\.id)
        }
    }

    func task(_ id: String) throws(StateError) -> TaskRecord? {
        try database.read { db in try TaskRecord.filter(Column("id") == id).fetchOne(db) }
    }

    /// Those of a task, in the order of their disks.
    func objects(ofTask id: String) throws(StateError) -> [TaskObjectRecord] {
        try database.read { db in try db.objects(ofTask: id) }
    }

    /// It never becomes less: a task that goes on reads from the beginning.
    func setProgress(_ percent: Int, ofTask id: String) throws(StateError) {
        try database.writeLightly { db in
            try db.execute(
                sql: "UPDATE task SET progress = max(progress, ?) WHERE id = ? AND status = ?",
                arguments: [percent, id, TaskRecord.Status.processing])
        }
    }

    func setObject(_ object: TaskObjectRecord) throws(StateError) {
        try database.write { db in try object.update(db) }
    }

    /// Ends a task that has done all it had to.
    ///
    /// - Parameter change: what else becomes so at the same moment.
    /// - Returns: false where it was cancelled first; then it goes on running.
    func finishTask(_ id: String, _ change: (Database) throws -> Void = { _ in }) throws(StateError) -> Bool {
        try database.write { db in
            try db.execute(
                sql: """
                    UPDATE task SET status = ?, progress = 100, finished = ?
                    WHERE id = ? AND status = ? AND isCancelRequested = 0
                    """,
                arguments: [TaskRecord.Status.finished, clock(), id, TaskRecord.Status.processing])
            guard db.changesCount == 1 else { return false }
            try change(db)
            return true
        }
    }

    /// Ends a task that came to nothing, as cancelled where it was cancelled, and else as failed.
    func endTask(_ id: String, _ reason: TaskReason?, _ change: (Database) throws -> Void = { _ in })
        throws(StateError)
    {
        try database.write { db in
            guard var task = try TaskRecord.filter(Column("id") == id).fetchOne(db), !task.status.isOver else { return }
            task.status = task.isCancelRequested ? .deleted : .failed
            task.finished = clock()
            if !task.isCancelRequested || reason?.code == TaskReason.leftoverCode {
                task.errorCode = reason?.code
                task.errorMessage = reason?.message
            }
            try task.update(db)
            try change(db)
        }
    }

    /// Tasks that came to nothing, of which an object may still be there.
    func objectsLeftOver() throws(StateError) -> [String] {
        try database.read { db in
            try String.fetchAll(
                db,
                sql: """
                    SELECT DISTINCT task.id FROM task JOIN taskObject ON taskObject.taskID = task.id
                    WHERE task.action = ? AND task.status IN (?, ?) AND taskObject.isDone = 1
                    """,
                arguments: [
                    TaskRecord.Action.exportImage, TaskRecord.Status.failed, TaskRecord.Status.deleted,
                ])
        }
    }
}

extension TaskRecord.Status {
    var isOver: Bool { self != .waiting && self != .processing }
}

extension TaskObjectRecord {
    /// The row of an object that is not there.
    var undone: TaskObjectRecord {
        var row = self
        row.isDone = false
        (row.length, row.crc64, row.fingerprint) = (nil, nil, nil)
        return row
    }
}

extension TaskReason {
    /// Says that something is left of a task that was cancelled.
    static let leftoverCode = "CancelTaskFailed"
}

extension Database {
    func objects(ofTask id: String) throws -> [TaskObjectRecord] {
        try TaskObjectRecord.filter(Column("taskID") == id).order(Column("position")).fetchAll(self)
    }
}
