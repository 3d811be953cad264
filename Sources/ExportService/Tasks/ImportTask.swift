internal import ECSWire
internal import GRDB
internal import Glibc
internal import ImageModel
internal import ObjectStorage

/// ImportImage: each object becomes a file of the service's own, and all of them an image.
extension TaskWork {
    /// - Throws: why it did not come to its end; the files and the image are gone then, unless the service ends.
    func importImage() throws(TaskFailure) {
        do throws(TaskFailure) {
            try importDisks()
        } catch {
            switch error {
            case .stopped: throw error
            case .cancelled: try takeBackImport(nil)
            case .failed(let reason): try takeBackImport(reason)
            }
            throw error
        }
    }

    private func importDisks() throws(TaskFailure) {
        let store = try openStore()
        let (image, objects) = try keeping { () throws(StateError) in
            (try state.image(task.imageID), try state.objects(ofTask: task.id))
        }
        guard let image else {
            throw .failed(TaskReason("InvalidImageId.NotFound", "The image was removed before its import began."))
        }
        do throws(APIError) {
            try RoleRules.requireReading(
                task.roleName, of: task.accountID, bucket: task.bucket, keys: objects.map(\.key), state)
        } catch {
            throw .failed(TaskReason(error))
        }
        var disks: [DiskRecord] = []
        for (object, disk) in zip(objects, image.disks) {
            let share = 1 / Double(objects.count)
            disks.append(try fetch(object, disk, store, monitor(done: share * Double(disks.count), share: share)))
        }
        let imported = disks
        let isFinished = try keeping { () throws(StateError) in
            try state.finishTask(task.id) { db in
                for disk in imported { try disk.update(db) }
                for var object in objects {
                    object.isDone = true
                    try object.update(db)
                }
                var record = image.image
                record.status = .available
                try record.update(db)
            }
        }
        guard isFinished else { throw .cancelled }
    }

    private func fetch(_ object: TaskObjectRecord, _ disk: DiskRecord, _ store: any ObjectStore, _ monitor: WorkMonitor)
        throws(TaskFailure) -> DiskRecord
    {
        if control.isToEnd { throw ending }
        let facts: DiskFacts
        do throws(ImageError) {
            let key: ObjectKey
            do throws(StoreError) { key = try ObjectKey(object.key) } catch { throw error.imageError }
            facts = try context.worker.fetch(
                key, from: store, format: disk.format == ImportRules.anyFormat ? nil : disk.format, to: disk.path,
                monitor)
        } catch {
            throw failure(error)
        }
        // Until it is there, the row holds what the request allows it.
        guard disk.virtualSize == 0 || facts.virtualSize <= disk.virtualSize else {
            throw .failed(
                TaskReason(
                    "InvalidDiskImageSize",
                    "The disk \(object.key) has \(facts.virtualSize) bytes, more than its DiskImageSize of "
                        + "\(disk.virtualSize >> 30) GiB."))
        }
        var fetched = disk
        fetched.format = facts.format
        fetched.virtualSize = facts.virtualSize
        return fetched
    }

    /// Removes files and image, and ends the task.
    private func takeBackImport(_ reason: TaskReason?) throws(TaskFailure) {
        let image = try keeping { () throws(StateError) in try state.image(task.imageID) }
        for disk in image?.disks ?? [] where disk.isOwned { unsafe unlink(disk.path) }
        try keeping { () throws(StateError) in
            try state.endTask(task.id, reason) { db in _ = try image?.image.delete(db) }
        }
    }
}
