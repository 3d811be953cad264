import ImageModel
import Testing

@Suite struct ContentIdentityTests {
    private let identity = ContentIdentity(fingerprint: 0x995D_C9BB_DF19_39FA, virtualSize: 1 << 30)

    private func hexadecimal(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    @Test func everyUUIDSaysVersion8AndTheVariantOfTheRFC() {
        for fingerprint: UInt64 in 0..<300 {
            let other = ContentIdentity(fingerprint: fingerprint, virtualSize: fingerprint * 512)
            let uuid = other.uuid(for: "role \(fingerprint)")
            #expect(uuid.count == 16)
            #expect(uuid[6] >> 4 == 8 && uuid[8] >> 6 == 2)
        }
    }

    /// What these identifiers are is a promise: images that were written once must come out the same for good.
    @Test func theIdentifiersOfTodayAreThoseOfEveryOtherDay() {
        #expect(hexadecimal(identity.uuid(for: "vdi.uuidCreate")) == "cbe22f3a4a4f818f8bf2cfc4888eb53d")
        #expect(hexadecimal(identity.uuid(for: "vhd.uniqueID")) == "023848cb10238b7b980cff464e68c66e")
        #expect(
            hexadecimal(ContentIdentity(fingerprint: 0, virtualSize: 0).uuid(for: ""))
                == "238275bc38fc8e91af32a78496c67c60")
        #expect(identity.word(0, for: "vmdk.CID") == 0x22B5_4105_F860_8DFF)
    }

    @Test func fingerprintSizeRoleAndIndexEachTellApart() {
        var words: Set<UInt64> = []
        for fingerprint: UInt64 in [0, 1, 1 << 63] {
            for size: UInt64 in [0, 512, 1024] {
                for role in ["", "a", "b", "ab", "ba", "vdi.uuidCreate", "vdi.uuidModify"] {
                    let other = ContentIdentity(fingerprint: fingerprint, virtualSize: size)
                    for index: UInt64 in 0..<4 { words.insert(other.word(index, for: role)) }
                }
            }
        }
        #expect(words.count == 3 * 3 * 7 * 4)
    }

    @Test func theSameContentHasTheSameIdentifier() {
        let again = ContentIdentity(fingerprint: 0x995D_C9BB_DF19_39FA, virtualSize: 1 << 30)
        #expect(again.uuid(for: "x") == identity.uuid(for: "x"))
        #expect(again.uuid(for: "x") != identity.uuid(for: "y"))
    }
}

@Suite struct ImageErrorTests {
    @Test func theTextHasPathMessagePlaceAndCauseInThisOrder() {
        let cause = ImageError(.truncated, "too short")
        let error = ImageError(
            .inputOutput, "No space left on device; free some", path: "/tmp/x", offset: FileOffset(4096),
            operation: "pwrite", systemError: 28, cause: cause)
        #expect(
            "\(error)"
                == "/tmp/x: No space left on device; free some [pwrite, file offset 4096] (because: too short)")
    }

    @Test func whatIsNotKnownIsNotMentioned() {
        #expect("\(ImageError(.corrupt, "it is broken"))" == "it is broken")
        #expect("\(ImageError(.corrupt, "it is broken", offset: FileOffset(0)))" == "it is broken [file offset 0]")
        #expect("\(ImageError(.corrupt, "it is broken", operation: "open"))" == "it is broken [open]")
    }

    @Test func namingKeepsTheNameThatIsThere() {
        let unnamed = ImageError(.corrupt, "it is broken")
        #expect(unnamed.naming("a").path == "a")
        #expect(unnamed.naming("a").naming("b").path == "a")
    }

    @Test func codesAreStable() {
        let codes: [(ImageError.Code, String)] = [
            (.corrupt, "corrupt"), (.truncated, "truncated"), (.unsupported, "unsupported"),
            (.externalReference, "external-reference"), (.limitExceeded, "limit-exceeded"),
            (.invalidOption, "invalid-option"), (.ambiguousFormat, "ambiguous-format"),
            (.destinationExists, "destination-exists"), (.inputOutput, "input-output"),
            (.sourceChanged, "source-changed"), (.verificationFailed, "verification-failed"), (.cancelled, "cancelled"),
        ]
        for (code, text) in codes { #expect(code.rawValue == text) }
        #expect(Set(codes.map(\.1)).count == codes.count)
    }
}
