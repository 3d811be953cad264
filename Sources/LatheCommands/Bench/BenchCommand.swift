internal import ArgumentParser
internal import ImageBenchmark
internal import ImageFiles
internal import ImageFormats
internal import ImageModel
internal import ImagePipeline

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure how fast each format is written, read, verified and compressed on this machine.",
        discussion: """
            Throughput is bytes of data by wall time: guest bytes that are not zero, in 10⁶ a second. The source is read \
            once before, so that what fits is in the page cache, and nobody waits for the disk to have what was written. \
            Where qemu-img is installed, it does the same jobs in turn.

            A generated disk is SIZE[,data=P%][,zeros=P%][,compressible=P%][,seed=N]: what of it is data, what is zeros \
            that are written (the rest is holes), and what of the data is like text rather than random. The same text gives \
            the same bytes on every machine. Nothing that is made has a name, and nothing is left behind.

            --to memory writes to files in memory, --to none throws away what is written; images that are read then stand \
            in TMPDIR, or /var/tmp.

            Examples:
              lathe bench
              lathe bench --generate 8GiB,data=30%,zeros=10%,compressible=50%,seed=7 --to /srv/images
              lathe bench --source disk.raw --to memory --threads 1,2,4,8 --jobs write,read
              lathe bench --formats vmdk:streamOptimized --jobs compress --plot levels.svg
            """)

    @Option(
        help: ArgumentHelp(
            "What is measured: raw, vhd, qcow2, vmdk, vdi, or one layout like vmdk:streamOptimized or qcow2:zstd. (default: all)",
            valueName: "list"), transform: BenchArguments.variants)
    var formats: [FormatVariant] = FormatCatalog.variants

    @Option(
        help: ArgumentHelp("Of write, read, verify and compress. (default: all)", valueName: "list"),
        transform: BenchArguments.jobs)
    var jobs: [BenchJob] = BenchJob.allCases

    @Option(help: ArgumentHelp("An image to start from.", valueName: "image"), completion: .file())
    var source: String?

    @Option(
        name: .customShort("f"),
        help: ArgumentHelp("The source's format; without it, the content shows.", valueName: "fmt"))
    var sourceFormat: ImageFormat?

    @Option(
        help: ArgumentHelp(
            "A disk to make and start from; see above. (default: \(ContentSpec.standard.text))", valueName: "spec"),
        transform: BenchArguments.spec)
    var generate: ContentSpec?

    @Option(
        help: ArgumentHelp(
            "Where images are written: a directory, 'memory' or 'none'. (default: the current directory)",
            valueName: "dir"),
        completion: .directory, transform: BenchDestination.init(argument:))
    var to: BenchDestination = .directory(".")

    @Option(
        help: ArgumentHelp(
            "How many threads work, or several numbers: 1,2,4. (default: powers of two up to the processors)",
            valueName: "list"), transform: BenchArguments.threads)
    var threads: [Int] = BenchPlan.standardThreads(processors: WorkerThreads.processorCount)

    @Option(name: .customLong("repeat"), help: ArgumentHelp("How often each is measured, 1 to 1000.", valueName: "N"))
    var repeats = 3

    @Flag(help: "Leave qemu-img out.")
    var noPeer = false

    @Option(help: "For people or for programs.")
    var output: OutputFormat = .human

    @Option(help: ArgumentHelp("Draw the results into an SVG file too.", valueName: "file"), completion: .file())
    var plot: String?

    @Flag(help: "Replace the plot if it exists; never a file that is no plot.")
    var overwrite = false

    @OptionGroup var shared: SharingArguments

    @Option(help: "Which case is measured, on standard error: auto shows it on a terminal.")
    var progress: ProgressMode = .auto

    func validate() throws {
        guard source == nil || generate == nil else {
            throw ValidationError("--source and --generate both say what to start from; give one of them.")
        }
        guard source != nil || sourceFormat == nil else {
            throw ValidationError("-f is the format of the image that --source names; give that too.")
        }
        guard (1...1000).contains(repeats) else {
            throw ValidationError("--repeat \(repeats) can't be done; it is a number from 1 to 1000.")
        }
    }

    func run() throws {
        try runCancellable { cancellation in
            let file = try plot.map(makePlotFile)
            let report = try measure(cancellation)
            try file?.commit(text: BenchPlot(report: report).svg)
            try Rendering.render(BenchJSON(report), as: output) { BenchTable(report: report).text }
        }
    }

    private func makePlotFile(_ path: String) throws(ImageError) -> FileSink {
        if let source { CommandFiles.inUse.noteRead(path: source, "the source itself") }
        try CommandFiles.inUse.claim(path, "the plot")
        if overwrite {
            try CommandFiles.requireReplaceable(path, "a plot") { (file) throws(ImageError) in
                let start = try file.read(FileRange(0, length: min(file.length, 1024)))
                return String(decoding: start, as: UTF8.self).contains("<svg")
            }
        }
        return try FileSink(path: path, replacing: overwrite)
    }

    private func measure(_ cancellation: CancellationFlag) throws(ImageError) -> BenchReport {
        let place = BenchTarget(destination: to)
        let peer = try findPeer(cancellation)
        let plan = BenchPlan(
            jobs: Set(jobs), variants: formats, threads: threads, repeats: repeats, hasPeer: peer.imager != nil)
        guard plan.count > 0 else {
            throw ImageError(
                .invalidOption, "none of these formats is written compressed; add vmdk to --formats, or another job")
        }
        let progress = BenchProgress(progress, total: plan.count)
        defer { progress.finish() }
        progress.show("preparing the source")
        let source = try makeSource(place, WorkOptions(cancellation: cancellation))
        let run = BenchRun(
            plan: plan, source: source, place: place, peer: peer.imager, cancellation: cancellation,
            willMeasure: progress.begin)
        return BenchReport(
            version: Lathe.configuration.version, machine: .current(processorCount: WorkerThreads.processorCount),
            source: source.summary, destination: to, repeats: repeats, peer: peer.presence, results: try run.results())
    }

    private func findPeer(_ cancellation: CancellationFlag) throws(ImageError) -> (
        imager: PeerImager?, presence: BenchReport.Peer
    ) {
        if noPeer { return (nil, .absent(because: "--no-peer")) }
        if to == .none { return (nil, .absent(because: "it can't write to nothing")) }
        guard PeerImager.canReachOurFiles else {
            return (nil, .absent(because: "without /proc it can't open files that have no name"))
        }
        guard let found = try PeerImager.find(cancellation) else { return (nil, .absent(because: "not installed")) }
        return (found, .present(version: found.version))
    }

    /// How many images of the source stand somewhere at once: ours, and the peer's.
    ///
    /// What is only written to nothing is none.
    private var keptImages: UInt64 {
        guard to == .none else { return 2 }
        return jobs.contains { $0 == .read || $0 == .verify } ? 1 : 0
    }

    private func makeSource(_ place: BenchTarget, _ work: WorkOptions) throws(ImageError) -> BenchSource {
        if let path = source {
            let file = try FileSource(path: path, sharing: shared.sharing)
            try CommandFiles.noteRead(file, "the source itself")
            let source = try BenchSource.open(file, path: path, format: sourceFormat, work)
            try place.requireRoom(keptImages * source.dataBytes)
            return source
        }
        let spec = generate ?? .standard
        try place.requireRoom(spec.size / 100 * ((1 + keptImages) * spec.data + spec.zeros))
        return try BenchSource.generate(spec, in: place, work)
    }
}

extension FileSink {
    /// Lets the file appear with a text for its content.
    func commit(text: String) throws(ImageError) {
        let bytes = Array(text.utf8)
        try write(data: bytes.span, at: FileOffset(0))
        try finish(length: UInt64(bytes.count))
        try CommandFiles.inUse.commit([self])
    }
}
