import Foundation
import ImageFormats
import ImageFuzzing
import ImageModel
import LatheTestSupport
import Testing

/// The published attacks on disk images, and what each gets: `docs/hostile-images.md` has them in words.
@Suite struct HostileImageTests {
    /// A second in a debug build beside other tests is much for a file of a few KiB; a hang is forever.
    static let patience = Duration.seconds(10)

    @Test func everyAttackGetsWhatIsWrittenDown() throws {
        var found: [(HostileImage, HostileImage.Answers)] = []
        for image in HostileImage.all {
            let source = WatchedFile(SparseMemory(try image.bytes(), name: image.name))
            let clock = ContinuousClock()
            let start = clock.now
            found.append((image, image.answers(of: source)))
            #expect(clock.now - start < Self.patience, "\(image.name)")
            #expect(source.violation == nil, "\(image.name)")
        }
        if ProcessInfo.processInfo.environment["LATHE_WRITE_EXPECTATIONS"] == "1" {
            return try Expectations.write(found)
        }
        let expected = try Expectations.read()
        #expect(Set(expected.keys) == Set(found.map(\.0.name)))
        for (image, answers) in found { #expect(answers == expected[image.name], "\(image.name)") }
    }

    /// The attacks that are sound images count as well: nothing may be refused that is as it should be.
    @Test func whatTheAttacksAreMadeOfIsSound() throws {
        let expected = try Expectations.read()
        let sound = expected.filter { $0.key.contains("-sound.") }
        #expect(sound.count >= 4)
        for (name, answers) in sound {
            #expect(answers.info == "ok" && answers.digest == "ok", "\(name)")
            // The package holds a disk of 5000 bytes, which is no multiple of a sector.
            let expected = name.hasPrefix("package") ? "1 warning; first at byte 0" : "nothing found"
            #expect(answers.check == expected, "\(name)")
        }
    }

    /// Nothing traps and no promise is broken, whatever the name of a second file leads to.
    @Test func everyAttackComesThroughWithEveryKindOfSecondFile() throws {
        var trial = try FuzzTrial()
        for image in HostileImage.all {
            let bytes = try image.bytes()
            for reference in FuzzInput.Reference.allCases {
                var input = FuzzInput(bytes)
                input.reference = reference
                for format in image.format.map({ [$0] }) ?? ImageFormat.allCases {
                    #expect(trial.run(input, as: format) == nil, "\(image.name), \(reference), \(format)")
                }
            }
        }
    }

    @Test func anImageIsTheSameAsAnInputOfAFuzzer() throws {
        for image in HostileImage.all {
            let bytes = try image.bytes()
            #expect(FuzzInput(bytes).file[0..<UInt64(bytes.count)] == bytes, "\(image.name)")
        }
    }

    /// The images are what the script makes, nothing else is there, and the table in the documentation is up to date.
    @Test func theScriptMakesTheseImagesAndTheTable() throws {
        let process = Process()
        process.executableURL = HostileImage.root.appending(path: "scripts/make-hostile-images")
        process.arguments = ["--check"]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(String(decoding: output, as: UTF8.self))")
    }

    @Test func thereAreAsManyAsTheDocumentationSays() throws {
        #expect(HostileImage.all.count >= 200)
        let size = try HostileImage.all.reduce(0) { try $0 + $1.bytes().count }
        #expect(size < 2 << 20)
    }
}
