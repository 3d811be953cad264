import ImageModel
import LatheTestSupport
import Testing

/// Whatever bytes a path has, its text gives them back.
@Suite struct PathTextTests {
    @Test(arguments: ["", "disk.raw", "/a/größe/磁盘.qcow2", "e\u{301}.raw", "\u{FFFD}", "\u{10FF00}"])
    func whatIsUTF8IsItself(name: String) {
        #expect(PathText.text(of: name.utf8).utf8.elementsEqual(name.utf8))
        #expect(PathText.bytes(of: name) == Array(name.utf8))
        #expect(!PathText.isEscaped(name) && PathText.shown(name) == name)
    }

    @Test(
        arguments: [
            [0xC4], [0x64, 0xC4, 0xE3, 0x2E], [0xFF, 0xFE], [0xC3], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80],
            [0xC0, 0xAF],
            Array("\u{10FF80}".utf8), Array("a\u{10FFFF}b".utf8), Array("\u{10FFC4}".utf8) + [0xC4],
        ] as [[UInt8]])
    func whatIsNotStandsForItsBytes(bytes: [UInt8]) {
        let text = PathText.text(of: bytes)
        #expect(PathText.bytes(of: text) == bytes)
        #expect(PathText.isEscaped(text))
        #expect(!PathText.isEscaped(PathText.shown(text)))
    }

    @Test func noTwoNamesHaveOneText() {
        var random = SeededGenerator(seed: 18)
        var seen: [String: [UInt8]] = [:]
        for _ in 0..<20_000 {
            // Mostly bytes that begin or go on with the scalars that stand for others.
            let pool: [UInt8] = [0xF4, 0x8F, 0xBE, 0xBF, 0x80, 0x81, 0xC4, 0xE3, 0x61, 0x2F]
            let bytes = (0..<Int.random(in: 1...6, using: &random)).map { _ in
                pool[Int.random(in: 0..<pool.count, using: &random)]
            }
            let text = PathText.text(of: bytes)
            #expect(PathText.bytes(of: text) == bytes)
            if let other = seen.updateValue(bytes, forKey: text) { #expect(other == bytes) }
        }
    }

    @Test func partsOfAPathAreFoundAmongItsBytes() {
        // As characters, the slash and the accent behind it are one.
        #expect(PathText.lastComponent("/a/\u{301}b") == "\u{301}b")
        #expect(PathText.directory(of: "/a/\u{301}b") == "/a")
        #expect(PathText.directory(of: "/a") == "/" && PathText.directory(of: "a") == ".")
        #expect(PathText.lastComponent("a/") == "" && PathText.lastComponent("a") == "a")
        #expect(PathText.stem(of: "/x/disk.tar.gz") == "disk.tar" && PathText.stem(of: ".raw") == ".raw")
        #expect(PathText.join("a/", "b") == "a/b" && PathText.join("a", "b") == "a/b" && PathText.join("", "b") == "b")
    }

    @Test func aByteThatIsNotUTF8IsShownByItsNumber() {
        #expect(PathText.shown(PathText.text(of: [0x64, 0xC4, 0xE3])) == "d\\xC4\\xE3")
    }
}
