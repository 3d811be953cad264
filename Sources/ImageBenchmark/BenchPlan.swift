package import ImageFormats
internal import ImageModel

/// One thing that is measured.
package struct BenchCase: Hashable, Sendable {
    var job: BenchJob
    var variant: FormatVariant
    var threads: Int
    /// Of `compress`; nil for the others, which take the encoder's own.
    var level: Int?
    /// Whether the peer does it too, in turn.
    var hasPeer: Bool

    /// For people: `write qcow2, 2 threads`.
    package var description: String {
        let level = level.map { ", level \($0)" } ?? ""
        return "\(job.rawValue) \(variant.name)\(level), \(threads) thread\(threads == 1 ? "" : "s")"
    }
}

/// What a run of the benchmark measures, in order.
package struct BenchPlan: Sendable {
    var jobs: Set<BenchJob>
    var variants: [FormatVariant]
    /// In ascending order.
    var threads: [Int]
    var repeats: Int
    var hasPeer: Bool

    /// - Parameter threads: in ascending order.
    package init(jobs: Set<BenchJob>, variants: [FormatVariant], threads: [Int], repeats: Int, hasPeer: Bool) {
        self.jobs = jobs
        self.variants = variants
        self.threads = threads
        self.repeats = repeats
        self.hasPeer = hasPeer
    }

    /// The cases of one layout; what is read comes behind what is written.
    ///
    /// The peer has no number of threads to ask for: it stands beside our run with the most.
    func cases(of variant: FormatVariant) -> [BenchCase] {
        let most = threads.last ?? 1
        let hasPeer = hasPeer && PeerImager.knows(variant)
        let inTurn: [BenchJob] = [.write, .read, .verify].filter { jobs.contains($0) }
        var cases = inTurn.flatMap { job in
            threads.map { count in
                BenchCase(
                    job: job, variant: variant, threads: count,
                    hasPeer: hasPeer && count == most && job != .verify)
            }
        }
        guard jobs.contains(.compress), let compression = variant.compression else { return cases }
        let standard = Self.standardLevel(of: variant)
        for level in compression.levels {
            cases.append(
                BenchCase(
                    job: .compress, variant: variant, threads: most, level: level,
                    hasPeer: hasPeer && level == standard))
        }
        return cases
    }

    /// Powers of two up to the number of processors, and that number.
    package static func standardThreads(processors: Int) -> [Int] {
        var counts: [Int] = []
        var count = 1
        while count < processors {
            counts.append(count)
            count *= 2
        }
        return counts + [processors]
    }

    package var count: Int { variants.reduce(0) { $0 + cases(of: $1).count } }

    /// The level that the encoder takes where none is given.
    static func standardLevel(of variant: FormatVariant) -> Int? {
        let parameters = EncoderParameters(contentLength: 0, virtualSize: 0)
        let encoder = try? FormatCatalog.encoder(
            for: variant.format, parameters: parameters, options: variant.options())
        guard case .compressed? = encoder?.storage else { return nil }
        return encoder?.options["compression_level"].flatMap { Int($0) }
    }
}
