internal import ImageFiles
internal import ImageFormats
package import ImageModel
package import ImagePipeline

/// How fast somebody did something, and how much came of it.
struct BenchFigure: Hashable, Sendable {
    var samples = Samples()
    /// The length of the image, in bytes; for `read` and `verify`, that of the one that was read.
    var outputBytes: UInt64 = 0
}

/// One case with what was measured.
package struct BenchResult: Sendable {
    var measured: BenchCase
    /// What throughput is counted in.
    var dataBytes: UInt64
    var ours = BenchFigure()
    var peer: BenchFigure?
}

/// Runs the cases of a plan: each so many times, the peer's runs between ours.
package struct BenchRun {
    /// Once its runs of one case have taken so long together, in seconds, the peer is not asked again.
    private static let peerPatience = 5.0
    /// What each thread compresses, about: the slowest level takes some seconds for it.
    private static let compressedBytesPerThread: UInt64 = 16 << 20
    /// What is compressed at the most: it stands in memory.
    private static let mostCompressedBytes: UInt64 = 1 << 30

    let plan: BenchPlan
    let source: BenchSource
    let place: BenchTarget
    let peer: PeerImager?
    let cancellation: CancellationFlag
    /// Called before each case.
    let willMeasure: (BenchCase) -> Void

    package init(
        plan: BenchPlan, source: BenchSource, place: BenchTarget, peer: PeerImager?, cancellation: CancellationFlag,
        willMeasure: @escaping (BenchCase) -> Void
    ) {
        self.plan = plan
        self.source = source
        self.place = place
        self.peer = peer
        self.cancellation = cancellation
        self.willMeasure = willMeasure
    }

    /// - Throws: what our side or the peer's throws; an option or a size that a format refuses, before anything is measured.
    package func results() throws(ImageError) -> [BenchResult] {
        try requireEncoders()
        var results: [BenchResult] = []
        var excerpt: BenchSource?
        for variant in plan.variants {
            var image: BenchImage?
            for measured in plan.cases(of: variant) {
                willMeasure(measured)
                switch measured.job {
                case .write: results.append(try write(measured, from: source, keeping: &image))
                case .read, .verify:
                    // Where nothing was written, or nothing was kept of it, there must be something to read.
                    let image = if let image { image } else { try makeImage(of: variant) }
                    results.append(try measured.job == .read ? read(measured, image) : verify(measured, image))
                case .compress:
                    image = nil
                    if excerpt == nil { excerpt = try makeExcerpt() }
                    if let excerpt { results.append(try write(measured, from: excerpt, keeping: &image)) }
                }
            }
        }
        return results
    }

    private func work(_ threads: Int) -> WorkOptions { WorkOptions(threads: threads, cancellation: cancellation) }

    private var mostThreads: Int { plan.threads.last ?? 1 }

    private func makeExcerpt() throws(ImageError) -> BenchSource {
        let wanted = UInt64(max(2, mostThreads)) * Self.compressedBytesPerThread
        return try source.excerpt(ofAbout: min(wanted, Self.mostCompressedBytes), work(mostThreads))
    }

    // MARK: - Jobs

    /// `write` and `compress`.
    ///
    /// - Parameter image: what was written last; it is dropped before the next is written, to make room.
    private func write(_ measured: BenchCase, from source: BenchSource, keeping image: inout BenchImage?)
        throws(ImageError) -> BenchResult
    {
        var result = BenchResult(measured: measured, dataBytes: source.dataBytes)
        image = nil
        place.settle()
        for _ in 0..<plan.repeats {
            image = nil
            let sink = try place.makeMeasuredFile()
            let conversion = Conversion(
                source.image, to: measured.variant.format, options: measured.variant.options(level: measured.level),
                work: work(measured.threads))
            let written = try result.ours.samples.measure { () throws(ImageError) in
                try conversion.run(into: sink.map(JoinedFilesSink.init) ?? NullSink())
            }
            try requireSame(written.fingerprint, source, measured)
            result.ours.outputBytes = written.objectLength
            if let sink { image = try BenchImage(sink.writtenSource(), conversion, written) }
            try takeTurn(measured, &result.peer) { (peer, figure) throws(ImageError) in
                let sink = try place.makeImageFile()
                try peer.write(
                    source.file, source.image.format, as: measured.variant, to: sink.writtenSource(), &figure.samples)
                figure.outputBytes = try sink.writtenSource().length
            }
        }
        return result
    }

    private func read(_ measured: BenchCase, _ image: BenchImage) throws(ImageError) -> BenchResult {
        var result = BenchResult(measured: measured, dataBytes: source.dataBytes)
        result.ours.outputBytes = image.length
        for _ in 0..<plan.repeats {
            let read = try result.ours.samples.measure { () throws(ImageError) in
                try Conversion(image.open(), to: .raw, work: work(measured.threads)).run(into: NullSink())
            }
            try requireSame(read.fingerprint, source, measured)
            try takeTurn(measured, &result.peer) { (peer, figure) throws(ImageError) in
                figure.outputBytes = image.length
                try peer.read(
                    image.file, measured.variant.format, virtualSize: source.image.virtualSize, &figure.samples)
            }
        }
        return result
    }

    /// `lathe verify --manifest`.
    private func verify(_ measured: BenchCase, _ image: BenchImage) throws(ImageError) -> BenchResult {
        var result = BenchResult(measured: measured, dataBytes: source.dataBytes)
        result.ours.outputBytes = image.length
        for _ in 0..<plan.repeats {
            let report = try result.ours.samples.measure { () throws(ImageError) in
                try image.verify(work(measured.threads))
            }
            try requireSame(report.verdict == .whole ? report.content?.crc64ecma : nil, source, measured)
        }
        return result
    }

    // MARK: - Steps

    /// Refuses a disk that one of the formats can't hold, before minutes have gone into the others.
    private func requireEncoders() throws(ImageError) {
        for variant in plan.variants {
            let conversion = Conversion(source.image, to: variant.format, options: variant.options())
            do throws(ImageError) { _ = try conversion.makeEncoder() } catch {
                throw ImageError(
                    error.code, "\(variant.name): \(error.message); name the formats that can, with --formats")
            }
        }
    }

    /// An image to read, made without a clock.
    private func makeImage(of variant: FormatVariant) throws(ImageError) -> BenchImage {
        let sink = try place.makeImageFile()
        let conversion = Conversion(
            source.image, to: variant.format, options: variant.options(), work: work(mostThreads))
        let written = try conversion.run(into: JoinedFilesSink(sink))
        return try BenchImage(sink.writtenSource(), conversion, written)
    }

    /// Lets the peer do the same, where it takes part.
    private func takeTurn(
        _ measured: BenchCase, _ figure: inout BenchFigure?,
        _ body: (PeerImager, inout BenchFigure) throws(ImageError) -> Void
    ) throws(ImageError) {
        guard let peer, measured.hasPeer else { return }
        var sum = figure ?? BenchFigure()
        guard sum.samples.total < Self.peerPatience else { return }
        try body(peer, &sum)
        figure = sum
    }

    /// - Parameter fingerprint: nil where the image is not what it must be.
    private func requireSame(_ fingerprint: UInt64?, _ source: BenchSource, _ measured: BenchCase) throws(ImageError) {
        guard fingerprint == source.fingerprint else {
            let found = fingerprint.map { String($0) } ?? "unknown, since the image is damaged"
            throw ImageError(
                .verificationFailed,
                "\(measured.description): the fingerprint is \(found), that of the source is \(source.fingerprint); "
                    + "check the disk and memory of this machine, and report it if they are sound")
        }
    }
}
