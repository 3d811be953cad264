import ImageFormats
import ImageModel
import Testing

@testable import ImageFormats

/// What QEMU writes where a path could stand.
@Suite struct QCOW2BackingNameTests {
    @Test(
        arguments: [
            ("base.raw", "base.raw", nil), ("file:base.raw", "base.raw", nil), ("file:/a/b:c.raw", "/a/b:c.raw", nil),
            (#"json:{"file.filename":"base.raw"}"#, "base.raw", nil),
            (#"json:{"driver":"qcow2","file.filename":"base.qcow2"}"#, "base.qcow2", "qcow2"),
            (#"json:{"driver":"qcow2","file":{"driver":"file","filename":"a/b.qcow2"}}"#, "a/b.qcow2", "qcow2"),
            (#"json:{"driver":"raw","file":{"driver":"file","filename":"file:x","locking":"off"}}"#, "file:x", "raw"),
            (#"json:{"driver":"raw","file":{"filename":"file:x"}}"#, "x", "raw"),
            (#"json:{"driver":"file","filename":"/base.raw"}"#, "/base.raw", nil),
            (#"json: {"read-only": true, "file.filename": "gr\u00f6\u00dfe", "cache.direct": false}"#, "größe", nil),
        ] as [(String, String, String?)])
    func theFileAndItsFormatAreFound(name: String, path: String, format: String?) throws {
        let found = try QCOW2BackingName(name, in: "top")
        #expect(found.path == path && found.format == format)
    }

    @Test(arguments: [
        ("json:", "ends too early"), ("json:{", "missing"), ("json:{}", "without a file name"), ("json:[]", "list"),
        (#"json:{"driver":"qcow2"}"#, "without a file name"),
        (#"json:{"driver":"nbd","host":"a"}"#, "without a file name"),
        (#"json:{"driver":"raw","file":{"driver":"nbd","host":"a"}}"#, "driver 'nbd'"),
        (#"json:{"file.driver":"https","file.url":"https://a/b"}"#, "driver 'https'"),
        (#"json:{"driver":"raw","offset":512,"file.filename":"a"}"#, "option 'offset'"),
        (#"json:{"driver":"qcow2","backing":{"file.filename":"b"},"file.filename":"a"}"#, "option 'backing"),
        (#"json:{"file.filename":"a","file":{"filename":"b"}}"#, "stands twice"),
        (#"json:{"file.filename":["a"]}"#, "is a list"),
    ])
    func whatIsNoPathIsRefusedByName(name: String, reason: String) {
        let error = #expect(throws: ImageError.self) { try QCOW2BackingName(name, in: "top") }
        #expect(
            error?.code == .externalReference && error?.message.contains(reason) == true, "\(String(describing: error))"
        )
    }
}
