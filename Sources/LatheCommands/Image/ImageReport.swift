internal import ExportService
internal import ImageModel
internal import OSSWire

/// What is shown of a registered image.
struct ImageReport: Encodable {
    struct Disk: Encodable {
        var device: String
        /// `system` or `data`.
        var type: String
        var path: String
        var format: String
        var virtualSize: UInt64
        var encrypted: Bool
    }

    var id: String
    var name: String
    var account: String
    var region: String
    var status: String
    var description: String
    var productCode: String?
    var licenseRestriction: String?
    var osType: String
    var architecture: String
    var platform: String
    var created: String
    var disks: [Disk]

    init(_ registered: RegisteredImage) {
        let image = registered.image
        (id, name, account, region) = (image.id, image.name, image.accountID, image.regionID)
        (status, description) = (image.status.rawValue, image.description)
        (productCode, licenseRestriction) = (image.productCode, image.licenseRestriction)
        (osType, architecture, platform) = (image.osType, image.architecture, image.platform)
        created = ISO8601.format(image.created)
        disks = registered.disks.map { disk in
            Disk(
                device: disk.device, type: disk.position == 0 ? "system" : "data", path: disk.path, format: disk.format,
                virtualSize: disk.virtualSize, encrypted: disk.isEncrypted)
        }
    }

    /// The virtual size of all disks, in bytes.
    var size: UInt64 { disks.reduce(0) { $0.addingReportingOverflow($1.virtualSize).partialValue } }

    var lines: [(String, String?)] {
        [
            ("image", id), ("name", name), ("account", account), ("region", region), ("status", status),
            ("description", description.isEmpty ? nil : description), ("product code", productCode),
            ("licence restriction", licenseRestriction), ("OS type", osType), ("architecture", architecture),
            ("platform", platform), ("created", created),
        ]
            + disks.map { disk in
                (
                    "\(disk.type) disk \(disk.device)",
                    "\(disk.path) (\(disk.format), \(NumberText.size(disk.virtualSize))\(disk.encrypted ? ", encrypted" : ""))"
                )
            }
    }
}
