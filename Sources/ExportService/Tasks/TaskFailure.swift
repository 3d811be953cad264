internal import ECSWire
internal import ImageModel
internal import ObjectStorage

/// Why a task did not come to its end.
enum TaskFailure: Error {
    /// The service ends; the task goes on when it is there again.
    case stopped
    /// Its owner cancelled it.
    case cancelled
    /// It can't be done: what its owner is told.
    case failed(TaskReason)
}

/// What the owner of a task is told of its failure.
struct TaskReason: Hashable, Sendable {
    /// One of the API's own codes where it has one for this.
    var code: String
    /// A sentence or two, without paths of this machine.
    var message: String
    /// What led to it, for the log alone.
    var cause: String

    init(_ code: String, _ message: String, cause: String = "") {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// What a refusal says that would have come at the time of the request.
    init(_ error: APIError) { self.init(error.code, error.message, cause: error.cause ?? "") }

    /// - Parameter hiding: paths that are none of the owner's business, with what they are called instead.
    init(_ error: ImageError, hiding names: [(path: String, name: String)]) {
        cause = error.description
        let told = names.reduce(error.description) { $0.replacing($1.path, with: $1.name) }
        (code, message) =
            switch error.code {
            case .destinationExists:
                (
                    "InvalidOSSObject.AlreadyExists",
                    "There is an object of that name in the bucket already, and nothing is replaced: delete it, or export with "
                        + "another OSSPrefix."
                )
            case .outputTooLong:
                (
                    "InvalidImage.DiskAmountOrSize",
                    "The export of a disk of the image comes to more than this service makes (\(told)): export it in another "
                        + "format, or ask whoever runs the service for a larger object (--greatest-object)."
                )
            case .sourceChanged:
                ("ImageChanged", "The image changed while it was read (\(told)): start the task again.")
            case .store: ("OSSAccessFailed", "The object store refused, or could not be reached: \(told).")
            case .inputOutput where names.isEmpty == false && error.isAbout(names):
                ("ExportImageFailed", "The image can't be read: \(told).")
            case .corrupt, .truncated, .unsupported, .externalReference, .ambiguousFormat, .limitExceeded:
                ("InvalidImageFile", "The image is not one that can be read: \(told).")
            case .verificationFailed, .mismatch:
                ("InvalidImageFile", "What was read is not what it must be: \(told).")
            default: ("ExportImageFailed", "The task failed: \(told).")
            }
    }
}

extension ImageError {
    fileprivate func isAbout(_ names: [(path: String, name: String)]) -> Bool {
        guard let path else { return false }
        return names.contains { path.hasPrefix($0.path) }
    }
}
