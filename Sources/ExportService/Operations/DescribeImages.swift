internal import ECSWire
internal import GRDB

/// Which images are asked for.
private struct ImageQuery {
    var ids: [String]?
    var namePattern: String?
    var statuses: [ImageRecord.Status]
    var osType: String?
    var architecture: String?
    /// Whether it asks for what no account here has.
    var isEmpty: Bool

    init(_ parameters: Parameters) throws(APIError) {
        ids = try parameters.commaList("ImageId", atMost: 100)
        namePattern = parameters.text("ImageName")
        let words = try parameters.commaList("Status", atMost: 10) ?? [ImageRecord.Status.available.rawValue]
        statuses = words.compactMap { ImageRecord.Status(rawValue: $0) }
        guard statuses.count == words.count else {
            let known = ImageRecord.Status.allCases.map(\.rawValue).joined(separator: ", ")
            throw .invalidParameter("Status", "it is one of \(known), or several with commas between")
        }
        osType = parameters.text("OSType")
        architecture = parameters.text("Architecture")
        // Images of the vendor, of the market and of others are not here.
        isEmpty = parameters.text("ImageOwnerAlias").map { $0 != "self" } ?? false
    }

    func request(_ accountID: String, _ regionID: String) -> QueryInterfaceRequest<ImageRecord> {
        var request = ImageRecord.filter(Column("accountID") == accountID && Column("regionID") == regionID)
            .filter(statuses.contains(Column("status")))
        if isEmpty { return request.none() }
        if let ids { request = request.filter(ids.contains(Column("id"))) }
        if let osType { request = request.filter(Column("osType").collating(.nocase) == osType) }
        if let architecture { request = request.filter(Column("architecture") == architecture) }
        if let namePattern {
            // `*` stands for any characters (ECS, "DescribeImages", ImageName); LIKE's own signs stand for themselves.
            let escaped = namePattern.replacing("\\", with: "\\\\").replacing("%", with: "\\%").replacing(
                "_", with: "\\_")
            request = request.filter(
                sql: "name LIKE ? ESCAPE '\\'", arguments: [escaped.replacing("*", with: "%")])
        }
        return request
    }
}

extension ExportService {
    /// DescribeImages: the newest first.
    func describeImages(_ call: APICall) throws(APIError) -> AnswerObject {
        let region = try requireRegion(call)
        let page = try call.parameters.page()
        let query = try ImageQuery(call.parameters)
        let (total, images) = try keeping { () throws(StateError) in
            try state.database.read { db in
                let request = query.request(call.accountID, region.id)
                let images = try request.order(Column("created").desc, Column.rowID.desc)
                    .limit(page.size, offset: page.offset).fetchAll(db)
                return (
                    try request.fetchCount(db),
                    try images.map { image in
                        DescribedImage(
                            image: image, disks: try db.disks(of: image.id), importTask: try db.importTask(of: image.id)
                        )
                    }
                )
            }
        }
        var answer = page.answer(total: total, regionID: region.id)
        answer.add("Images", .list(item: "Image", images.map { .object($0.answer) }))
        return answer
    }

    /// DescribeRegions.
    func describeRegions(_ call: APICall) throws(APIError) -> AnswerObject {
        let regions = try keeping { () throws(StateError) in try state.regions() }
        let items = regions.map { region in
            AnswerValue.object([
                "RegionId": .text(region.id),
                "RegionEndpoint": .text(region.endpoint.isEmpty ? endpoint : region.endpoint),
                "LocalName": .text(region.localName), "Status": "available",
            ])
        }
        return ["Regions": .list(item: "Region", items)]
    }
}

/// An image as DescribeImages tells of it.
private struct DescribedImage {
    var image: ImageRecord
    var disks: [DiskRecord]
    /// With its objects, for an image that was imported.
    var importTask: (task: TaskRecord, objects: [TaskObjectRecord])?

    private var progress: String { image.status == .creating ? "\(importTask?.task.progress ?? 0)%" : "100%" }

    var answer: AnswerObject {
        var answer: AnswerObject = [
            "ImageId": .text(image.id), "ImageName": .text(image.name), "Description": .text(image.description),
            "Status": .text(image.status.rawValue), "Progress": .text(progress),
            "Size": .number(Int64(ImageRules.gibibytes(disks.first?.virtualSize ?? 0))), "OSType": .text(image.osType),
            "OSName": .text(image.platform), "Architecture": .text(image.architecture),
            "Platform": .text(image.platform), "CreationTime": .time(image.created), "ImageOwnerAlias": "self",
            "IsCopied": false, "ProductCode": .text(image.productCode ?? ""), "Usage": "none",
        ]
        answer.add("DiskDeviceMappings", .list(item: "DiskDeviceMapping", disks.map { .object(mapping($0)) }))
        answer.add("Tags", .list(item: "Tag", []))
        return answer
    }

    private func mapping(_ disk: DiskRecord) -> AnswerObject {
        let object = importTask?.objects.first { $0.position == disk.position }
        return [
            "Device": .text(disk.device), "Size": .text("\(ImageRules.gibibytes(disk.virtualSize))"),
            "Type": disk.position == 0 ? "system" : "data",
            "Format": .text(disk.format == ImportRules.anyFormat ? "" : disk.format),
            "Encrypted": .boolean(disk.isEncrypted), "Progress": .text(progress),
            "ImportOSSBucket": .text(object == nil ? "" : importTask?.task.bucket ?? ""),
            "ImportOSSObject": .text(object?.key ?? ""),
        ]
    }
}

extension Database {
    fileprivate func importTask(of imageID: String) throws -> (task: TaskRecord, objects: [TaskObjectRecord])? {
        try TaskRecord.filter(Column("imageID") == imageID && Column("action") == TaskRecord.Action.importImage)
            .fetchOne(self).map { ($0, try objects(ofTask: $0.id)) }
    }
}
