internal import ECSWire

/// Whether an image can be exported.
enum ImageRules {
    static let greatestDataDiskCount = 4
    /// Asks in this order: the market, the licence, the status, encryption, data disks at all, their number, and the sizes of all disks.
    ///
    /// - Throws: the refusal of the first that fails.
    static func requireExportable(
        _ image: RegisteredImage, of account: AccountRecord, as format: String, _ settings: ServiceSettings
    ) throws(APIError) {
        if image.image.productCode != nil { throw .marketImage }
        if let restriction = image.image.licenseRestriction { throw .imageLicense(restriction) }
        guard image.image.status == .available else { throw .incorrectImageStatus }
        guard !image.disks.contains(where: \.isEncrypted) else { throw .encryptedImage }
        let dataDisks = image.disks.filter { $0.position > 0 }
        guard dataDisks.isEmpty || account.exportsDataDisks else { throw .dataDisksDenied }
        guard dataDisks.count <= greatestDataDiskCount else {
            throw .diskAmountOrSize(
                "The specified image contains \(dataDisks.count) data disks, and at most \(greatestDataDiskCount) can be "
                    + "exported.")
        }
        // A disk costs by what it holds, and not by what of it is stored: zeros are read, packed and counted, too. A raw disk that is
        // not packed is an object of its own size.
        let isPlain = format == "raw" && !settings.packagesRaw
        let greatest = isPlain ? min(settings.greatestDisk, settings.greatestObject) : settings.greatestDisk
        if let disk = image.disks.first(where: { $0.virtualSize > greatest }) {
            throw .diskAmountOrSize(
                "The \(disk.position == 0 ? "system" : "data") disk \(disk.device) of the specified image has "
                    + "\(gibibytes(disk.virtualSize)) GiB, and at most \(size(greatest)) can be exported.")
        }
    }

    private static func size(_ bytes: UInt64) -> String {
        bytes & (1 << 30 - 1) == 0 ? "\(bytes >> 30) GiB" : "\(bytes) bytes"
    }

    /// Whole ones, rounded up.
    static func gibibytes(_ bytes: UInt64) -> UInt64 { bytes >> 30 + (bytes & (1 << 30 - 1) == 0 ? 0 : 1) }
}

extension ExportService {
    /// - Throws: `InvalidRegionId.NotFound`.
    func requireRegion(_ call: APICall) throws(APIError) -> RegionRecord {
        let id = try call.parameters.required("RegionId")
        guard let region = try keeping({ () throws(StateError) in try state.region(id) }) else { throw .regionNotFound }
        return region
    }

    func requireAccount(_ call: APICall) throws(APIError) -> AccountRecord {
        guard let account = try keeping({ () throws(StateError) in try state.account(call.accountID) }) else {
            throw .accessKeyNotFound
        }
        return account
    }

    /// - Throws: `InvalidImageId.NotFound`, also for an image of another account or region.
    func requireImage(_ id: String, _ call: APICall, in regionID: String) throws(APIError) -> RegisteredImage {
        guard let image = try keeping({ () throws(StateError) in try state.image(id) }),
            image.image.accountID == call.accountID, image.image.regionID == regionID
        else { throw .imageNotFound }
        return image
    }
}
