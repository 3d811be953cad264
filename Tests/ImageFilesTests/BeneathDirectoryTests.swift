import Foundation
import Glibc
import ImageModel
import LatheTestSupport
import Testing

@testable import ImageFiles

/// What of a machine's files an image can have opened: those beneath the directory that the user named, and no others.
@Suite struct BeneathDirectoryTests {
    private let root: TemporaryDirectory
    private let allowed: String

    init() throws {
        root = try TemporaryDirectory()
        allowed = root.file("allowed")
        try FileManager.default.createDirectory(atPath: "\(allowed)/sub/deep", withIntermediateDirectories: true)
        try write("top", to: "\(allowed)/base.raw")
        try write("sub", to: "\(allowed)/sub/base.raw")
        try write("deep", to: "\(allowed)/sub/deep/base.raw")
        try write("secret", to: root.file("secret.raw"))
    }

    private func write(_ text: String, to path: String) throws { try Data(text.utf8).write(to: URL(filePath: path)) }

    private func link(_ target: String, _ name: String) throws {
        try FileManager.default.createSymbolicLink(atPath: name, withDestinationPath: target)
    }

    private func content(_ name: String, namedBy image: String) throws -> String {
        let source = try BeneathDirectory(path: allowed).open(name, namedBy: image)
        return String(decoding: try source.read(FileRange(0, length: source.length)), as: UTF8.self)
    }

    private func refusal(_ name: String) throws -> ImageError {
        try #require(throws: ImageError.self) {
            try BeneathDirectory(path: allowed).open(name, namedBy: "\(allowed)/sub/top.qcow2")
        }
    }

    @Test func aNameIsRelativeToTheImageThatHasIt() throws {
        #expect(try content("base.raw", namedBy: "\(allowed)/sub/top.qcow2") == "sub")
        #expect(try content("./deep/base.raw", namedBy: "\(allowed)/sub/top.qcow2") == "deep")
        #expect(try content("base.raw", namedBy: "\(allowed)/top.qcow2") == "top")
    }

    @Test func anImageWithoutAPlaceHasItsFilesInTheAllowedDirectory() throws {
        #expect(try content("sub/base.raw", namedBy: "oss://bucket/top.qcow2") == "sub")
    }

    @Test func anImageOutsideIsNotTakenForOneInside() throws {
        // Beside the image there is another file than the one of that name beneath the allowed directory.
        try write("outer", to: root.file("base.raw"))
        let error = try #require(throws: ImageError.self) {
            try content("base.raw", namedBy: root.file("top.qcow2"))
        }
        #expect(error.code == .externalReference && error.message.contains(root.file("base.raw")))
        #expect(try content("allowed/base.raw", namedBy: root.file("top.qcow2")) == "top")
        // A name that only begins as the directory's does is elsewhere too.
        try FileManager.default.createDirectory(atPath: allowed + "-not", withIntermediateDirectories: true)
        try write("not", to: allowed + "-not/base.raw")
        #expect(throws: ImageError.self) { try content("base.raw", namedBy: "\(allowed)-not/top.qcow2") }
    }

    @Test func anImageThatIsReachedByALinkHasItsFilesWhereItIs() throws {
        try write("", to: "\(allowed)/sub/top.qcow2")
        try link("sub/top.qcow2", "\(allowed)/link.qcow2")
        try link("\(allowed)/sub/top.qcow2", root.file("link.qcow2"))
        #expect(try content("base.raw", namedBy: "\(allowed)/link.qcow2") == "sub")
        #expect(try content("base.raw", namedBy: root.file("link.qcow2")) == "sub")
    }

    @Test func absoluteNamesAndThoseThatLeadUpAreFollowedWhereTheyEndBeneath() throws {
        let image = "\(allowed)/sub/top.qcow2"
        for name in ["\(allowed)/base.raw", "../base.raw", "deep/../../base.raw", "\(allowed)/sub/deep/../../base.raw"]
        {
            #expect(try content(name, namedBy: image) == "top", "\(name)")
        }
        for name in ["\(root.path)/secret.raw", "../../secret.raw", "/etc/passwd", "/", ".."] {
            let error = try refusal(name)
            #expect(error.code == .externalReference, "\(name): \(error)")
        }
        // Everything is beneath the root.
        let everywhere = try BeneathDirectory(path: "/").open("\(root.path)/secret.raw", namedBy: image)
        #expect(try everywhere.read(FileRange(0, length: 6)) == Array("secret".utf8))
    }

    @Test func whatIsOutsideIsRefusedWhetherItIsThereOrNot() throws {
        for name in ["../../absent", "\(root.path)/absent"] {
            let error = try refusal(name)
            #expect(error.code == .externalReference && error.systemError == nil, "\(name): \(error)")
        }
        #expect(try refusal("\(allowed)/absent").systemError == ENOENT)
    }

    /// `openat2` is refused: by old kernels, and by containers' filters.
    @Test(arguments: [ENOSYS, EPERM]) func withoutTheKernelsGuardEachStepIsTakenByItself(number: Int32) throws {
        let files = try BeneathDirectory(path: allowed) { _, _ in
            errno = number
            return -1
        }
        let image = "\(allowed)/sub/top.qcow2"
        #expect(try files.open("deep/base.raw", namedBy: image).length == 4)
        #expect(try files.open("../base.raw", namedBy: image).length == 3)
        #expect(throws: ImageError.self) { try files.open("../../secret.raw", namedBy: image) }
    }

    @Test func aLinkThatComesToStandInTheWayIsNotFollowed() throws {
        try link("../sub", "\(allowed)/sub/deep/way")
        let directory = OpenDirectory(try FileDescriptor(path: allowed, flags: O_RDONLY | O_DIRECTORY)) { _, _ in
            errno = ENOSYS
            return -1
        }
        for directory in [
            directory,
            OpenDirectory(try FileDescriptor(path: allowed, flags: O_RDONLY), openBeneath: OpenDirectory.kernel),
        ] {
            let error = try #require(throws: ImageError.self) {
                _ = try directory.open("sub/deep/way/base.raw", named: "way").number
            }
            #expect([ELOOP, ENOTDIR].contains(error.systemError), "\(error)")
        }
    }

    @Test func theNextNameOfAChainIsRelativeToTheFileBeforeIt() throws {
        let files = try BeneathDirectory(path: allowed + "/")
        let first = try files.open("sub/base.raw", namedBy: "\(allowed)/top.qcow2")
        let second = try files.open("deep/base.raw", namedBy: first.name)
        #expect(try second.read(FileRange(0, length: 4)) == Array("deep".utf8))
    }

    @Test func namesAreRefusedBeforeAnythingIsOpened() throws {
        for name in ["json:{}", "nbd:x", "sub\\base.raw", "", "deep/"] {
            let error = try refusal(name)
            #expect(error.code == .externalReference && error.systemError == nil, "\(name): \(error)")
        }
    }

    @Test func aSymbolicLinkIsFollowedWhereItEndsBeneath() throws {
        try link("\(root.path)/secret.raw", "\(allowed)/sub/absolute")
        try link("../../secret.raw", "\(allowed)/sub/out")
        try link("base.raw", "\(allowed)/sub/beside")
        try link("deep", "\(allowed)/sub/way")
        try link("/proc/self/exe", "\(allowed)/sub/magic")
        for name in ["absolute", "out", "magic"] {
            let error = try refusal(name)
            #expect(error.code == .externalReference, "\(name): \(error)")
        }
        #expect(try content("beside", namedBy: "\(allowed)/sub/top.qcow2") == "sub")
        #expect(try content("way/base.raw", namedBy: "\(allowed)/sub/top.qcow2") == "deep")
    }

    @Test func onlyRegularFilesAreOpened() throws {
        #expect(unsafe mkfifo("\(allowed)/sub/pipe", 0o600) == 0)
        for name in ["pipe", "deep"] {
            let error = try refusal(name)
            #expect(error.code == .externalReference && error.message.contains("regular file"), "\(name): \(error)")
        }
        // The device of /dev/null; to make one takes privileges.
        if unsafe mknod("\(allowed)/sub/null", mode_t(S_IFCHR) | 0o600, dev_t(1 << 8 | 3)) == 0 {
            #expect(try refusal("null").message.contains("regular file"))
        }
        #expect(try refusal("absent").systemError == ENOENT)
        #expect(try refusal("base.raw/x").systemError == ENOTDIR)
    }

    @Test func theAllowedDirectoryItselfMayBeReachedByALink() throws {
        try link(allowed, root.file("link"))
        let files = try BeneathDirectory(path: root.file("link"))
        let source = try files.open("base.raw", namedBy: "\(allowed)/sub/top.qcow2")
        #expect(try source.read(FileRange(0, length: 3)) == Array("sub".utf8))
    }

    @Test func aDirectoryThatIsNoneIsRefused() {
        #expect(throws: ImageError.self) { try BeneathDirectory(path: allowed + "/base.raw") }
        #expect(throws: ImageError.self) { try BeneathDirectory(path: root.file("absent")) }
    }

    @Test func aSearchFindsWhatIsBesideTheImageAndInTheAllowedDirectory() throws {
        for place in ["a.vdi", "B.VDI", "sub/c.vdi", "sub/deep/d.vdi", "sub/e.raw"] {
            try write(place, to: "\(allowed)/\(place)")
        }
        try link("c.vdi", "\(allowed)/sub/link.vdi")
        #expect(unsafe mkfifo("\(allowed)/sub/pipe.vdi", 0o600) == 0)
        let files = try BeneathDirectory(path: allowed)
        let found = try files.search(ending: ".vdi", beside: "\(allowed)/sub/top.vdi") { _ throws(ImageError) in true }
        #expect(found.map { String($0.name.dropFirst(allowed.count)) } == ["/sub/c.vdi", "/B.VDI", "/a.vdi"])
        let wanted = try files.search(ending: ".vdi", beside: "elsewhere.vdi") { source throws(ImageError) in
            guard source.length == 5 else { throw ImageError(.corrupt, "not this") }
            return source.name.hasSuffix("a.vdi")
        }
        #expect(wanted.map(\.length) == [5])
    }

    @Test func aSearchThroughTooManyFilesIsRefused() throws {
        for number in 0...BeneathDirectory.maximumSearch { try write("", to: "\(allowed)/sub/\(number).vdi") }
        let error = try #require(throws: ImageError.self) {
            try BeneathDirectory(path: allowed).search(ending: ".vdi", beside: "\(allowed)/sub/0.vdi") {
                _ throws(ImageError) in false
            }
        }
        #expect(error.code == .limitExceeded)
    }
}
