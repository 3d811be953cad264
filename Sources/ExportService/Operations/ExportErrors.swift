internal import ECSWire

/// What ExportImage and its neighbours refuse with, word for word (ECS, "ExportImage", "Error codes").
extension APIError {
    static let malformedImageName = APIError(
        400, "InvalidImageName.Malformed", "The specified Image name is wrongly formed.")
    static let malformedPrefix = APIError(
        400, "InvalidOSSPrefix.Malformed", "The specified OSSPrefix format is wrongly formed.")
    static let regionNotFound = APIError(400, "InvalidRegionId.NotFound", "The specified RegionId does not exist.")
    static let regionNotSupported = APIError(
        400, "InvalidRegion.NotSupport", "The specified region does not support image import or export.")
    static let incorrectImageStatus = APIError(400, "IncorrectImageStatus", "The specified Image is not available.")
    static let malformedImageFormat = APIError(
        400, "InvalidImageFormat.Malformed", "The specified Image Format is wrongly formed.")
    static let bucketNotFound = APIError(
        400, "InvalidOSSBucket.NotFound", "The specified OSS bucket does not exist in this region.")
    static let dataDisksDenied = APIError(
        400, "OperationDenied",
        "The specified image contains the snapshot of the data disk,does not support this operation.")
    static let encryptedImage = APIError(
        400, "ImageNotSupported", "The specified Image contains encrypted snapshots, do not support export.")
    static let marketImage = APIError(
        403, "ImageNotSupported", "The specified image from the image market, do not support export image.")
    static let imageIsExporting = APIError(403, "ImageIsExporting", "The specified Image is exporting.")
    static let notInWhiteList = APIError(
        403, "UserNotInTheWhiteList", "The user is not in the white list of exporting image.")
    static let encryptedBucket = APIError(
        403, "InvalidOSSBucket.EncryptUnsupported", "Accessing objects from encrypted OSS bucket is not supported.")
    static let imageNotFound = APIError(404, "InvalidImageId.NotFound", "The specified ImageId does not exist.")
    static let dryRun = APIError(
        400, "DryRunOperation", "Request validation has been passed with DryRun flag set.")

    static func diskAmountOrSize(_ sentence: String) -> APIError {
        APIError(400, "InvalidImage.DiskAmountOrSize", sentence)
    }

    /// - Parameter reason: a clause, behind a comma.
    static func bucketNotMatched(_ reason: String) -> APIError {
        APIError(400, "InvalidOSSBucket.NotMatched", "The specified OSS bucket is incorrect, \(reason).")
    }

    static func exportImageFailed(cause: String) -> APIError {
        APIError(
            403, "ExportImageFailed", "Exporting image is failed, Please contact the administrator.", cause: cause)
    }

    static func noRole(cause: String) -> APIError {
        APIError(
            403, "NoSetRoletoECSServiceAcount",
            "ECS service account Have no right to access your OSS.please attach a role of access your oss to ECS service account.",
            cause: cause)
    }

    static func concurrentQuota(_ sentence: String) -> APIError {
        APIError(403, "ConcurrentQuotaExceed.ExportImage", sentence)
    }

    static func weeklyQuota(_ sentence: String) -> APIError {
        APIError(403, "WeeklyQuotaExceed.ExportImage", sentence)
    }

    static func imageLicense(_ sentence: String) -> APIError {
        APIError(403, "InvalidImageLicense.NotSupported", sentence)
    }
}

/// Those of tasks (ECS, "CancelTask", "Error codes").
extension APIError {
    static let taskNotFound = APIError(400, "InvalidTaskId.NotFound", "The specified \"TaskId\" is not found.")
    static let incorrectTaskStatus = APIError(
        403, "InvalidTaskId.IncorrectTaskStatus", "The specified task status is invalid.")
}
