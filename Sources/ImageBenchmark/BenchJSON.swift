internal import ImageFormats
internal import ImageModel
internal import ImagePipeline

/// A report as `--output json` prints it; `schemas/lathe.bench-1.schema.json` describes it.
package struct BenchJSON: Encodable {
    struct Program: Encodable {
        var name: String
        var version: String?
        /// Why it did not take part.
        var absent: String?
    }

    struct Machine: Encodable {
        var processor: String
        var processors: Int
        var system: String
        var architecture: String
    }

    struct Source: Encodable {
        /// The spec of a generated disk.
        var generated: String?
        var filename: String?
        var format: String
        var virtualSize: UInt64
        var dataBytes: UInt64
        /// Decimal, as OSS writes a CRC-64.
        var fingerprint: String

        enum CodingKeys: String, CodingKey {
            case generated, filename, format, fingerprint
            case virtualSize = "virtual-size"
            case dataBytes = "data-bytes"
        }
    }

    struct Destination: Encodable {
        var kind: String
        var path: String?
    }

    struct Spread: Encodable {
        var median: Double
        var min: Double
        var max: Double
    }

    struct Figure: Encodable {
        /// In order of the runs.
        var seconds: [Double]
        /// Bytes a second.
        var throughput: Spread
        var outputBytes: UInt64
        var ratio: Double?

        enum CodingKeys: String, CodingKey {
            case seconds, throughput, ratio
            case outputBytes = "output-bytes"
        }

        init(_ figure: BenchFigure, _ dataBytes: UInt64) {
            let rates = figure.throughput(dataBytes)
            seconds = figure.samples.seconds
            throughput = Spread(median: rates.median, min: rates.least, max: rates.most)
            outputBytes = figure.outputBytes
            ratio = figure.sizeRatio(dataBytes)
        }
    }

    struct Compression: Encodable {
        var method: String
        /// Of `compress`; the others take the encoder's own.
        var level: Int?
    }

    struct Result: Encodable {
        var job: String
        var format: String
        var subformat: String?
        var compression: Compression?
        var threads: Int
        var dataBytes: UInt64
        var lathe: Figure
        var peer: Figure?

        enum CodingKeys: String, CodingKey {
            case job, format, subformat, compression, threads, lathe, peer
            case dataBytes = "data-bytes"
        }

        init(_ result: BenchResult) {
            let variant = result.measured.variant
            job = result.measured.job.rawValue
            format = variant.format.rawValue
            subformat = variant.layoutName
            compression = variant.compression.map {
                Compression(method: $0.method.rawValue, level: result.measured.level)
            }
            threads = result.measured.threads
            dataBytes = result.dataBytes
            lathe = Figure(result.ours, result.dataBytes)
            peer = result.peer.map { Figure($0, result.dataBytes) }
        }
    }

    var schema = "lathe.bench/1"
    var lathe: Program
    var peer: Program
    var machine: Machine
    var source: Source
    var destination: Destination
    var repeats: Int
    var results: [Result]

    enum CodingKeys: String, CodingKey {
        case schema, lathe, peer, machine, source, destination, results
        case repeats = "repeat"
    }

    package init(_ report: BenchReport) {
        lathe = Program(name: "lathe", version: report.version)
        switch report.peer {
        case .present(let version): peer = Program(name: PeerImager.program, version: version)
        case .absent(let reason): peer = Program(name: PeerImager.program, absent: reason)
        }
        machine = Machine(
            processor: report.machine.processor, processors: report.machine.processorCount,
            system: report.machine.system, architecture: report.machine.architecture)
        let described = report.source.description
        source = Source(
            generated: report.source.isGenerated ? described : nil,
            filename: report.source.isGenerated ? nil : described,
            format: report.source.format.rawValue, virtualSize: report.source.virtualSize,
            dataBytes: report.source.dataBytes, fingerprint: String(report.source.fingerprint))
        destination =
            switch report.destination {
            case .directory(let path): Destination(kind: "directory", path: path)
            case .memory, .none: Destination(kind: report.destination.name)
            }
        repeats = report.repeats
        results = report.results.map(Result.init)
    }
}
