internal import ECSWire

/// Whether an image can be exported.
enum ImageRules {
    static let greatestDataDiskCount = 4
    /// In bytes.
    static let greatestDataDiskSize: UInt64 = 500 << 30

    /// Asks in this order: the market, the licence, the status, encryption, data disks at all, their number and sizes.
    ///
    /// - Throws: the refusal of the first that fails.
    static func requireExportable(_ image: RegisteredImage, of account: AccountRecord) throws(APIError) {
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
        if let disk = dataDisks.first(where: { $0.virtualSize > greatestDataDiskSize }) {
            throw .diskAmountOrSize(
                "The data disk \(disk.device) of the specified image has \(gibibytes(disk.virtualSize)) GiB, and at most "
                    + "\(greatestDataDiskSize >> 30) GiB can be exported.")
        }
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
