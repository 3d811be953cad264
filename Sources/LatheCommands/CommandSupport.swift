public import ArgumentParser
internal import Glibc
internal import ImageFiles
public import ImageFormats
public import ImageModel
public import ImagePipeline
internal import ObjectStorage

extension ImageFormat: ExpressibleByArgument {
    public init?(argument: String) { self.init(name: argument) }
    public static var allValueStrings: [String] { allCases.map(\.rawValue) }
}

extension RawPackaging: ExpressibleByArgument {}
extension ReflinkPolicy: ExpressibleByArgument {}
extension RepairScope: ExpressibleByArgument {}

extension ByteSize: ExpressibleByArgument {
    public var defaultValueDescription: String { exactText }
}

/// What every verb takes that makes files.
struct FlushFlags: ParsableArguments {
    @Flag(
        name: .customLong("no-flush"),
        help: ArgumentHelp(
            "Do not wait until the result is on its disk. It then appears sooner, what goes wrong while the system writes it back is "
                + "seen by nobody, and a loss of power can leave it empty."))
    var leavesFlushing = false

    var flushes: Bool { !leavesFlushing }
}

/// What every verb takes that shows what one image is.
struct ImageArguments: ParsableArguments {
    @Option(
        name: .customShort("f"),
        help: ArgumentHelp("The image's format; without it, the content shows.", valueName: "fmt"))
    var format: ImageFormat?

    @Option(help: "For people or for programs.")
    var output: OutputFormat = .human

    @OptionGroup(title: "Files and Object Store") var store: StoreArguments

    @Argument(
        help: "The image: a file, oss://BUCKET/KEY or s3://BUCKET/KEY; '-' is standard input.", completion: .file())
    var image: String

    /// Opens the image in the format that the user names, or else in the one that its content shows.
    func open() throws(ImageError) -> (source: any ImageSource, format: ImageFormat) {
        try store.formattedSource(image, format: format)
    }
}

/// What every verb that works through a disk takes.
struct WorkFlags: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "How many threads work; the result never depends on it. (default: one a processor)", valueName: "N"))
    var threads: Int?

    @Option(
        help: "Progress on standard error: auto shows a bar on a terminal; json prints a line of JSON now and then.")
    var progress: ProgressMode = .auto

    @Flag(name: .customShort("p"), help: "The same as --progress bar.")
    var showBar = false

    func validate() throws {
        if let threads, !WorkOptions.threadCounts.contains(threads) {
            throw ValidationError("--threads \(threads) can't be had; it is a number from 1 to 256.")
        }
    }
}

/// Runs the body of a verb: signals ask it to stop, progress is shown, and an error becomes a line and an exit code.
///
/// - Parameters:
///   - transfer: what is sent, where the verb sends anything.
///   - patienceSeconds: how long the work may take to stop by itself.
///   - body: is also given what shows the progress, for what a person would like to know meanwhile.
func runCommand(
    _ flags: WorkFlags, transfer: TransferProgress? = nil,
    patienceSeconds: Int = SignalListener.defaultPatienceSeconds,
    failure: (ImageError) -> ExitCode = { _ in ExitStatus.failure },
    _ body: (WorkOptions, ProgressReporter) throws -> Void
) throws {
    let cancellation = CancellationFlag()
    SignalListener.cancel(cancellation, patienceSeconds: patienceSeconds)
    let progress = WorkProgress()
    let reporter = ProgressReporter(
        flags.showBar && flags.progress == .auto ? .bar : flags.progress, progress, transfer: transfer)
    do {
        let threads = flags.threads ?? WorkerThreads.processorCount
        try body(WorkOptions(threads: threads, progress: progress, cancellation: cancellation), reporter)
        reporter.finish()
    } catch let error as ImageError {
        reporter.finish()
        throw ExitStatus.ending(with: error, failure: failure)
    }
}

/// The same for a verb that has nothing to say meanwhile.
func runCommand(
    _ flags: WorkFlags, failure: (ImageError) -> ExitCode = { _ in ExitStatus.failure },
    _ body: (WorkOptions) throws -> Void
) throws {
    try runCommand(flags, failure: failure) { work, _ in try body(work) }
}

/// The same for a verb that shows its progress in a way of its own.
func runCancellable(_ body: (CancellationFlag) throws -> Void) throws {
    let cancellation = CancellationFlag()
    SignalListener.cancel(cancellation)
    do {
        try body(cancellation)
    } catch let error as ImageError {
        throw ExitStatus.ending(with: error)
    }
}

/// The same for a verb that is through at once.
func runCommand(failure: (ImageError) -> ExitCode = { _ in ExitStatus.failure }, _ body: () throws -> Void) throws {
    do {
        try body()
    } catch let error as ImageError {
        throw ExitStatus.ending(with: error, failure: failure)
    }
}
