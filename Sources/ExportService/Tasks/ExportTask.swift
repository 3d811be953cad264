internal import ECSWire
internal import GRDB
internal import Glibc
internal import ImageModel
internal import Logging
internal import ObjectStorage

/// ExportImage: one object a disk, each with its manifest; all of them, or none.
extension TaskWork {
    /// - Throws: why it did not come to its end; what it made is gone then, unless the service ends.
    func export() throws(TaskFailure) {
        do throws(TaskFailure) {
            try exportDisks()
        } catch {
            switch error {
            case .stopped: throw error
            case .cancelled: try takeBackExport(nil)
            case .failed(let reason): try takeBackExport(reason)
            }
            throw error
        }
    }

    private func exportDisks() throws(TaskFailure) {
        let store = try openStore()
        let jobs = try exportJobs(store)
        do throws(APIError) {
            try RoleRules.require(
                task.roleName, of: task.accountID, bucket: task.bucket, keys: jobs.map(\.object.key), state)
        } catch {
            throw .failed(TaskReason(error))
        }
        let total = Double(max(1, jobs.reduce(0) { $0 + $1.size }))
        var done = 0.0
        for (object, job, size) in jobs {
            let share = Double(size) / total
            if !object.isDone { try exportDisk(object, job, monitor(done: done, share: share)) }
            done += share
        }
        let isFinished = try keeping { () throws(StateError) in try state.finishTask(task.id) }
        guard isFinished else { throw .cancelled }
    }

    private func exportDisk(_ object: TaskObjectRecord, _ job: DiskExportJob, _ monitor: WorkMonitor)
        throws(TaskFailure)
    {
        if control.isToEnd { throw ending }
        let made: ExportedDisk
        do throws(ImageError) { made = try exported(job, monitor) } catch { throw failure(error) }
        var row = object
        row.isDone = true
        row.length = made.length
        row.crc64 = String(made.crc64)
        row.fingerprint = String(made.fingerprint)
        try keeping { () throws(StateError) in try state.setObject(row) }
    }

    private func exported(_ job: DiskExportJob, _ monitor: WorkMonitor) throws(ImageError) -> ExportedDisk {
        let hadCheckpoint = unsafe access(job.checkpointPath, F_OK) == 0
        // The service may have ended between the end of an export and the row that says so.
        if wasInterrupted, !hadCheckpoint, let made = try context.worker.made(by: job) { return made }
        do throws(ImageError) { return try context.worker.export(job, monitor) } catch {
            // A checkpoint of another version of Lathe, or one that is damaged, is worth nothing; nobody has seen what it is of.
            guard hadCheckpoint, [.invalidOption, .corrupt].contains(error.code) else { throw error }
            logger.notice("the export begins anew", metadata: ["reason": "\(error)"])
            try context.worker.discard(job)
            return try context.worker.export(job, monitor)
        }
    }

    /// What there is to do, disk by disk.
    private func exportJobs(_ store: any ObjectStore) throws(TaskFailure) -> [(
        object: TaskObjectRecord, job: DiskExportJob, size: UInt64
    )] {
        let (image, objects) = try keeping { () throws(StateError) in
            (try state.image(task.imageID), try state.objects(ofTask: task.id))
        }
        guard let image else {
            throw .failed(TaskReason("InvalidImageId.NotFound", "The image was removed before its export began."))
        }
        var jobs: [(object: TaskObjectRecord, job: DiskExportJob, size: UInt64)] = []
        for object in objects {
            guard let disk = image.disks.first(where: { $0.position == object.position }) else {
                throw .failed(
                    TaskReason("ExportImageFailed", "The image has lost a disk since the export was asked for."))
            }
            jobs.append((object, try job(object, disk, store), disk.virtualSize))
        }
        return jobs
    }

    private func job(_ object: TaskObjectRecord, _ disk: DiskRecord, _ store: any ObjectStore) throws(TaskFailure)
        -> DiskExportJob
    {
        let key: ObjectKey
        do throws(StoreError) { key = try ObjectKey(object.key) } catch { throw failure(error.imageError) }
        return DiskExportJob(
            path: disk.path, sourceFormat: disk.format, format: task.format,
            isPackaged: object.key.hasSuffix(ExportKeys.packageSuffix),
            memberName: ExportKeys.memberName(of: object.key), store: store, key: key,
            greatestLength: context.settings.greatestObject, checkpointPath: checkpointPath(object), owner: task.id)
    }

    // MARK: Taking back

    /// Removes what was made, and ends the task.
    func takeBackExport(_ reason: TaskReason?) throws(TaskFailure) {
        let rows = try removeExport()
        var reason = reason
        if reason == nil, rows.contains(where: \.isDone) {
            reason = TaskReason(
                TaskReason.leftoverCode,
                "The task was cancelled, but the store did not let all of it be removed; that is tried again when the service "
                    + "starts.")
        }
        let told = reason
        try keeping { () throws(StateError) in
            try state.endTask(task.id, told) { db in for row in rows { try row.update(db) } }
        }
    }

    /// Removes what is left of a task that is over.
    func removeLeftovers() throws(TaskFailure) {
        let rows = try removeExport()
        try keeping { () throws(StateError) in for row in rows { try state.setObject(row) } }
    }

    private func removeExport() throws(TaskFailure) -> [TaskObjectRecord] {
        let objects = try keeping { () throws(StateError) in try state.objects(ofTask: task.id) }
        guard let store = try cleaningStore() else { return forgotten(objects) }
        // With its disk gone there is still a job to be taken back.
        var jobs: [(object: TaskObjectRecord, job: DiskExportJob)] = []
        for object in objects {
            let disk = DiskRecord(
                imageID: task.imageID, position: object.position, device: "", path: "", format: "raw", virtualSize: 0,
                isEncrypted: false, isOwned: false)
            jobs.append((object, try job(object, disk, store)))
        }
        return try discardExport(jobs)
    }

    /// What is left of an export whose bucket is gone: its checkpoints go.
    private func forgotten(_ objects: [TaskObjectRecord]) -> [TaskObjectRecord] {
        objects.map { object in
            unsafe unlink(checkpointPath(object))
            return object.undone
        }
    }

    private func checkpointPath(_ object: TaskObjectRecord) -> String {
        "\(state.checkpointsPath)/\(task.id)-\(object.position).json"
    }

    /// Makes a call to the database, which is tried again while it can't be had.
    func keeping<Result>(_ call: () throws(StateError) -> Result) throws(TaskFailure) -> Result {
        var tries = 0
        while true {
            do throws(StateError) { return try call() } catch {
                tries += 1
                if control.isStopping { throw .stopped }
                guard error.code == .unavailable, tries < 10 else {
                    throw .failed(
                        TaskReason("ExportImageFailed", "The service can't keep its records.", cause: "\(error)"))
                }
                logger.error("the database failed; trying again", metadata: ["error": "\(error)"])
                sleep(1)
            }
        }
    }
}

/// What exported objects are called (ECS, "Export images": `<prefix>_<imageId>_system.raw.tar.gz`).
enum ExportKeys {
    static let packageSuffix = ".raw.tar.gz"

    static func key(prefix: String?, _ disk: DiskRecord, format: String, packagesRaw: Bool) -> String {
        let name = disk.position == 0 ? "system" : "data_" + disk.device.split(separator: "/").suffix(1).joined()
        let suffix = format == "raw" && packagesRaw ? packageSuffix : ".\(format)"
        return (prefix.map { $0 + "_" } ?? "") + "\(disk.imageID)_\(name)\(suffix)"
    }

    /// What the disk is called within its package.
    static func memberName(of key: String) -> String {
        key.hasSuffix(packageSuffix) ? String(key.dropLast(packageSuffix.utf8.count)) + ".raw" : key
    }
}
