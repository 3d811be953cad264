import Foundation
import ImageFormats
import ImageFuzzing
import Testing

/// What the fuzzer once found stays found.
@Suite struct FuzzRegressionTests {
    static let directory = HostileImage.root.appending(path: "testdata/fuzz")

    /// The inputs, each with the format that it broke.
    static let inputs: [(name: String, format: ImageFormat)] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        return names.filter { $0.hasSuffix(".input") }.sorted().compactMap { name in
            let prefix = String(name.prefix { $0 != "-" })
            return (prefix == "package" ? .rawPackage : ImageFormat(rawValue: prefix)).map { (name, $0) }
        }
    }()

    @Test func whatTheFuzzerFoundIsMended() throws {
        var trial = try FuzzTrial()
        for (name, format) in Self.inputs {
            let bytes = [UInt8](try Data(contentsOf: Self.directory.appending(path: name)))
            let clock = ContinuousClock()
            let start = clock.now
            #expect(trial.run(FuzzInput(decoding: bytes), as: format) == nil, "\(name)")
            #expect(clock.now - start < HostileImageTests.patience, "\(name)")
        }
    }
}
