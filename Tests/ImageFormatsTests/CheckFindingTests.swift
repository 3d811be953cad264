import ImageFormats
import ImageModel
import LatheTestSupport
import Testing

/// What a finding says, and that the steps of a repair leave an image no worse, one by one.
@Suite struct CheckFindingTests {
    static let formats: [(ImageFormat, [String: String])] = [
        (.vhd, [:]), (.vhd, ["subformat": "fixed"]), (.vdi, [:]), (.qcow2, [:]),
    ]

    @Test(arguments: formats) func everyFindingSaysWhereWhatAndWhatWasExpected(
        format: ImageFormat, options: [String: String]
    ) throws {
        let image = try DamageTests.smallImage(format, options)
        var seen = 0
        for segment in image.metadata {
            for (offset, byte) in try DamageTests.bytesWorthAFlip(of: segment) {
                var damaged = image.memory
                damaged.write([byte ^ 0x81], at: offset)
                for finding in FormatCatalog.check(damaged, as: format).findings {
                    seen += 1
                    let place = try #require(finding.fileOffset, "\(finding.message)")
                    guard let found = finding.found, let expected = finding.expected else {
                        // A header that can't be read is an error, which names both in words of its own.
                        #expect(finding.kind == .corruption && finding.message.contains(where: \.isNumber))
                        continue
                    }
                    #expect(finding.message.hasPrefix("at byte \(place.bytes), "), "\(finding.message)")
                    #expect(finding.message.contains(" is \(found), expected \(expected): "), "\(finding.message)")
                }
            }
        }
        #expect(seen > 20)
    }

    @Test func aFindingIsOneSentence() {
        let finding = CheckFinding(
            .leak, "the refcount of cluster 5", is: "3", expected: "1", "the cluster is never given back",
            at: FileOffset(327_680))
        #expect(
            finding.message
                == "at byte 327680, the refcount of cluster 5 is 3, expected 1: the cluster is never given back")
        #expect(finding.fileOffset == FileOffset(327_680) && finding.found == "3" && finding.expected == "1")
    }
}
