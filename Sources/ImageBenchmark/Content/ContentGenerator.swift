internal import ImageModel

/// Writes a generated disk, as a raw image, into a sink: the same spec gives the same bytes on every machine.
struct ContentGenerator {
    private static let pieceLength: UInt64 = 1 << 20

    let spec: ContentSpec

    /// - Parameter goOn: called now and then; what it throws ends the work.
    func write(to sink: any ImageSink, goOn: () throws(ImageError) -> Void) throws(ImageError) {
        var mill = PseudoTextGenerator()
        var bytes: [UInt8] = []
        for run in ContentLayout(spec) where run.kind != .hole {
            var done: UInt64 = 0
            while done < run.length {
                try goOn()
                let length = min(Self.pieceLength, run.length - done)
                bytes.removeAll(keepingCapacity: true)
                let seed = run.seed &+ done
                switch run.kind {
                case .text: mill.append(Int(length), seed: seed, to: &bytes)
                case .random:
                    var random = SeededRandom(seed: seed)
                    random.append(Int(length), to: &bytes)
                case .zeros, .hole: bytes.append(contentsOf: repeatElement(0, count: Int(length)))
                }
                try sink.write(data: bytes.span, at: FileOffset(run.start + done))
                done += length
            }
        }
        try sink.finish(length: spec.size)
    }
}
