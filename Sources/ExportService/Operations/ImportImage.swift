internal import ECSWire
internal import GRDB
internal import ObjectStorage

/// What imports are held to.
enum ImportRules {
    /// What stands for the format of a disk until its content has said it.
    static let anyFormat = "any"
    /// What `Format` may say, in small letters; `raw.tar.gz` is what ExportImage makes of raw.
    static let formats: Set<String> = ["raw", "vhd", "qcow2", "vmdk", "vdi", "raw.tar.gz"]
    static let greatestSizeGiB = 32_768
}

/// One disk of what ImportImage is asked for.
private struct ImportedDisk {
    var bucket: String
    var key: String
    var format: String
    var device: String?
    /// What the disk may have at most, in bytes; 0 for anything.
    var greatestSize: UInt64

    init(_ parameters: Parameters, _ number: Int) throws(APIError) {
        let name = "DiskDeviceMapping.\(number)"
        guard let bucket = parameters.text("OSSBucket") else { throw .missingParameter("\(name).OSSBucket") }
        guard let key = parameters.text("OSSObject") else { throw .missingParameter("\(name).OSSObject") }
        guard (try? ObjectKey(key)) != nil else {
            throw .invalidParameter(
                "\(name).OSSObject", "an object's key has 1 to 1023 bytes and does not begin with '/'")
        }
        self.bucket = bucket
        self.key = key
        format = parameters.text("Format")?.lowercased() ?? ImportRules.anyFormat
        guard format == ImportRules.anyFormat || ImportRules.formats.contains(format) else {
            throw .malformedImageFormat
        }
        device = parameters.text("Device")
        if let device {
            do throws(StateError) { try Names.requireDevice(device) } catch {
                throw .invalidParameter("\(name).Device", error.message)
            }
        }
        // Older clients write the one, newer ones the other.
        let size = try parameters.number("DiskImageSize", in: 1...ImportRules.greatestSizeGiB)
        let older = try parameters.number("DiskImSize", in: 1...ImportRules.greatestSizeGiB)
        greatestSize = UInt64(size ?? older ?? 0) << 30
    }
}

extension ExportService {
    /// ImportImage: objects of a bucket become an image, whose status is Available once all of them are there.
    func importImage(_ call: APICall) throws(APIError) -> AnswerObject {
        let parameters = call.parameters
        let region = try requireRegion(call)
        let isDryRun = try parameters.flag("DryRun")
        let disks = try importedDisks(parameters)
        let imageID = RandomName.id("m")
        let name = parameters.text("ImageName") ?? imageID
        guard Names.isImageName(name) else { throw .malformedImageName }
        guard parameters.text("ClientToken") == nil else {
            throw .invalidParameter("ClientToken", "requests with a token are not known again here; leave it out")
        }
        guard region.supportsExport else { throw .regionNotSupported }
        let bucket = disks[0].bucket
        try requireBucket(bucket, call, in: region.id)
        let role = try importRole(call)
        try RoleRules.requireReading(role, of: call.accountID, bucket: bucket, keys: disks.map(\.key), state)
        var image = NewImage(
            accountID: call.accountID, regionID: region.id, name: name,
            disks: disks.enumerated().map { position, disk in
                NewImage.Disk(
                    path: "\(state.importsPath)/\(imageID)-\(position)",
                    facts: DiskFacts(format: disk.format, virtualSize: disk.greatestSize), device: disk.device,
                    isOwned: true)
            })
        image.id = imageID
        image.status = .creating
        image.description = parameters.text("Description") ?? ""
        image.osType = parameters.text("OSType") ?? image.osType
        image.architecture = parameters.text("Architecture") ?? image.architecture
        image.platform = parameters.text("Platform") ?? image.platform
        do throws(StateError) { try image.validate() } catch {
            throw APIError.invalidParameter("ImageName", error.message)
        }
        if isDryRun { throw .dryRun }
        let task = try enqueueImport(image, disks, bucket: bucket, role: role, call)
        runner.wake()
        return ["RegionId": .text(region.id), "ImageId": .text(imageID), "TaskId": .text(task.id)]
    }

    /// - Throws: `MissingParameter`, `InvalidParameter`, also where the objects are not in one bucket.
    private func importedDisks(_ parameters: Parameters) throws(APIError) -> [ImportedDisk] {
        let groups = try parameters.groups("DiskDeviceMapping", atMost: ImageRules.greatestDataDiskCount + 1)
        guard !groups.isEmpty else { throw .missingParameter("DiskDeviceMapping.1.OSSBucket") }
        var disks: [ImportedDisk] = []
        for (place, group) in groups.enumerated() { disks.append(try ImportedDisk(group, place + 1)) }
        for (place, disk) in disks.enumerated() where disk.bucket != disks[0].bucket {
            throw .invalidParameter(
                "DiskDeviceMapping.\(place + 1).OSSBucket", "all disks of an image come out of one bucket")
        }
        return disks
    }

    private func importRole(_ call: APICall) throws(APIError) -> String {
        if let name = call.parameters.text("RoleName") { return name }
        let hasImportRole = try keeping { () throws(StateError) in
            try state.role(RoleRules.importRole, ofAccount: call.accountID) != nil
        }
        return hasImportRole ? RoleRules.importRole : SystemPolicies.exportRole
    }

    private func enqueueImport(
        _ image: NewImage, _ disks: [ImportedDisk], bucket: String, role: String, _ call: APICall
    ) throws(APIError) -> TaskRecord {
        let now = state.clock()
        let task = TaskRecord(
            id: RandomName.id("tsk"), accountID: call.accountID, regionID: image.regionID, action: .importImage,
            status: .waiting, imageID: image.id ?? "", format: disks[0].format, bucket: bucket, prefix: nil,
            roleName: role, requestID: call.requestID, created: now, finished: nil, isCancelRequested: false,
            progress: 0, errorCode: nil, errorMessage: nil)
        return try transaction { db in
            let limit = Self.greatestUnfinishedImports
            let unfinished = try TaskRecord.filter(
                Column("accountID") == call.accountID && Column("action") == TaskRecord.Action.importImage
            ).filter(TaskRecord.isUnfinished).fetchCount(db)
            guard unfinished < limit else {
                return .failure(
                    APIError(
                        403, "ConcurrentQuotaExceed.ImportImage",
                        "The account has \(unfinished) imports that wait or run, and may have \(limit) at a time."))
            }
            _ = try db.addImage(image, now: now)
            try task.insert(db)
            for (position, disk) in disks.enumerated() {
                try TaskObjectRecord(
                    taskID: task.id, position: position, key: disk.key, isDone: false, length: nil, crc64: nil,
                    fingerprint: nil
                ).insert(db)
            }
            return .success(task)
        }
    }

    /// Imports take room on this machine, so that not any number of them is taken on.
    private static let greatestUnfinishedImports = 20
}
