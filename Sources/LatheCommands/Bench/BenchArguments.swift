internal import ArgumentParser
internal import ImageBenchmark
internal import ImageFormats
internal import ImageModel
internal import ImagePipeline

/// Lists on the command line, whose errors say what would be right.
enum BenchArguments {
    static func jobs(_ text: String) throws -> [BenchJob] {
        try list(text) { word in
            guard let job = BenchJob(rawValue: word) else {
                throw ValidationError("'\(word)' is not a job; the jobs are write, read, verify and compress.")
            }
            return job
        }
    }

    /// `1,2,4`: each once, in ascending order.
    static func threads(_ text: String) throws -> [Int] {
        try list(text) { word in
            guard let count = Int(word), WorkOptions.threadCounts.contains(count) else {
                throw ValidationError(
                    "'\(word)' is not a number of threads; write one from 1 to 256, or several like 1,2,4.")
            }
            return count
        }.sorted()
    }

    static func spec(_ text: String) throws -> ContentSpec {
        do throws(ImageError) { return try ContentSpec(parsing: text) } catch { throw ValidationError(error.message) }
    }

    /// `qcow2:zstd,vmdk`: a format stands for all of its layouts, of which the one without a name is `plain`.
    static func variants(_ text: String) throws -> [FormatVariant] {
        let chosen = try list(text, of: variants(named:)).joined()
        return FormatCatalog.variants.filter { chosen.contains($0) }
    }

    private static func variants(named word: String) throws -> [FormatVariant] {
        let parts = word.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let format = ImageFormat(name: parts[0]) else {
            let names = ImageFormat.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("'\(parts[0])' is not a format; the formats are \(names).")
        }
        let all = FormatCatalog.variants.filter { $0.format == format }
        guard parts.count > 1 else { return all }
        let names = all.count > 1 ? all.map { $0.layoutName ?? "plain" } : []
        let found = zip(all, names).filter { $0.1.lowercased() == parts[1].lowercased() }.map(\.0)
        guard !found.isEmpty else {
            throw ValidationError(
                "\(format.rawValue) has no layout '\(parts[1])'; "
                    + (names.isEmpty ? "it is written in one way only." : "it has \(names.joined(separator: ", "))."))
        }
        return found
    }

    /// The parts of a list between commas, each once.
    private static func list<Element: Hashable>(_ text: String, of element: (String) throws -> Element) throws
        -> [Element]
    {
        var elements: [Element] = []
        for word in text.split(separator: ",", omittingEmptySubsequences: false) {
            let element = try element(String(word))
            if !elements.contains(element) { elements.append(element) }
        }
        return elements
    }
}
