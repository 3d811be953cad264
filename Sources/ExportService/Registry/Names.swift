internal import ObjectStorage

/// What names may be, and numbers.
enum Names {
    static func requireAccountID(_ text: String) throws(StateError) {
        guard text.utf8.count == 16, text.utf8.allSatisfy(isDigit) else {
            throw StateError(.invalid, "an account's id is sixteen digits", subject: text)
        }
    }

    /// For operators alone; it begins with a letter, so that it is no id.
    static func requireAccountName(_ text: String) throws(StateError) {
        guard (1...64).contains(text.utf8.count), let first = text.utf8.first, isLetter(first),
            text.utf8.allSatisfy({ isLetter($0) || isDigit($0) || "-_.".utf8.contains($0) })
        else {
            throw StateError(
                .invalid, "an account's name is 1 to 64 letters, digits and any of '-_.', and begins with a letter",
                subject: text)
        }
    }

    /// The id of an access key: what both ends of a signature write into headers and addresses.
    static func requireKeyID(_ text: String) throws(StateError) {
        guard (4...128).contains(text.utf8.count),
            text.utf8.allSatisfy({ isLetter($0) || isDigit($0) || "-_.".utf8.contains($0) })
        else {
            throw StateError(.invalid, "the id of a key is 4 to 128 letters, digits and any of '-_.'", subject: text)
        }
        guard !text.hasPrefix("STS.") else {
            throw StateError(.invalid, "ids that begin with 'STS.' are those of temporary keys", subject: text)
        }
    }

    /// The text is never part of the error.
    static func requireSecret(_ text: String) throws(StateError) {
        guard (8...128).contains(text.utf8.count), text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw StateError(.invalid, "the secret of a key is 8 to 128 printable ASCII characters without spaces")
        }
    }

    /// RAM, "Limits": names of roles and policies.
    static func requireRoleName(_ text: String) throws(StateError) {
        guard (1...64).contains(text.utf8.count),
            text.utf8.allSatisfy({ isLetter($0) || isDigit($0) || "-_.".utf8.contains($0) })
        else {
            throw StateError(.invalid, "a role's name is 1 to 64 letters, digits and any of '-_.'", subject: text)
        }
    }

    static func requirePolicyName(_ text: String) throws(StateError) {
        guard (1...128).contains(text.utf8.count),
            text.utf8.allSatisfy({ isLetter($0) || isDigit($0) || $0 == UInt8(ascii: "-") })
        else { throw StateError(.invalid, "a policy's name is 1 to 128 letters, digits and hyphens", subject: text) }
    }

    static func requireRegionID(_ text: String) throws(StateError) {
        guard (2...64).contains(text.utf8.count),
            text.utf8.allSatisfy({
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) || isDigit($0) || $0 == UInt8(ascii: "-")
            })
        else {
            throw StateError(
                .invalid, "a region's id is 2 to 64 small letters, digits and hyphens, as cn-hangzhou", subject: text)
        }
    }

    /// A host, and a port behind a colon where there is one; or empty.
    static func requireEndpoint(_ text: String?) throws(StateError) {
        guard let text else { return }
        guard text.utf8.count <= 255,
            text.utf8.allSatisfy({ isLetter($0) || isDigit($0) || "-.:[]".utf8.contains($0) })
        else {
            throw StateError(
                .invalid, "an endpoint is a host, with a port behind a colon where needed, and no scheme", subject: text
            )
        }
    }

    static func requireBucketName(_ text: String) throws(StateError) {
        do throws(StoreError) { _ = try BucketName(text) } catch { throw StateError(.invalid, error.message) }
    }

    /// ECS, "InvalidImageName.Malformed": 2 to 128 characters; it begins with a letter, and not with `acs:` or `aliyun`; no
    /// `http://` or `https://`; letters, digits, periods, colons, underscores and hyphens.
    static func isImageName(_ text: String) -> Bool {
        guard (2...128).contains(text.unicodeScalars.count), let first = text.unicodeScalars.first,
            first.properties.isAlphabetic
        else { return false }
        let lowered = text.lowercased()
        return !lowered.hasPrefix("acs:") && !lowered.hasPrefix("aliyun")
            && text.unicodeScalars.allSatisfy {
                $0.properties.isAlphabetic || ("0"..."9").contains($0) || ".:_-".unicodeScalars.contains($0)
            }
    }

    static func requireImageID(_ text: String) throws(StateError) {
        guard text.hasPrefix("m-"), (3...64).contains(text.utf8.count),
            text.utf8.dropFirst(2).allSatisfy({ isLetter($0) || isDigit($0) })
        else {
            throw StateError(.invalid, "an image's id is 'm-' and up to 62 letters and digits", subject: text)
        }
    }

    /// The last part becomes part of an object's key.
    static func requireDevice(_ text: String) throws(StateError) {
        let name = text.utf8.dropFirst(5)
        guard text.hasPrefix("/dev/"), (1...16).contains(name.count), name.allSatisfy({ isLetter($0) || isDigit($0) })
        else {
            throw StateError(
                .invalid, "a device is '/dev/' and up to 16 letters and digits, as /dev/xvdb", subject: text)
        }
    }

    static func requireImageName(_ text: String) throws(StateError) {
        guard isImageName(text) else {
            throw StateError(
                .invalid,
                "an image's name is 2 to 128 letters, digits and any of '.:_-'; it begins with a letter, and not with 'acs:' or "
                    + "'aliyun'", subject: text)
        }
    }

    /// A text for people: bounded, and on one line.
    static func requireText(_ text: String?, atMost bytes: Int, _ what: String) throws(StateError) {
        guard let text else { return }
        guard text.utf8.count <= bytes, text.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7f }) else {
            throw StateError(.invalid, "\(what) has at most \(bytes) bytes and no control characters")
        }
    }

    static func require(_ number: Int?, in range: ClosedRange<Int>, _ what: String) throws(StateError) {
        guard let number, !range.contains(number) else { return }
        throw StateError(
            .invalid, "\(number) \(what) can't be: expected a number from \(range.lowerBound) to \(range.upperBound)")
    }

    /// STS, "AssumeRole": what the name of a session is made of.
    static func isSessionCharacter(_ byte: UInt8) -> Bool {
        isLetter(byte) || isDigit(byte) || ".@-_".utf8.contains(byte)
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) && byte < 0x80
    }
}
