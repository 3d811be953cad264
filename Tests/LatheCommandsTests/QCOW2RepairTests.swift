import Foundation
import LatheTestSupport
import Testing

/// qcow2 images of every kind, damaged from a seed: counted as QEMU counts, mended, and sound to QEMU afterwards.
@Suite(.requiresQEMU) struct QCOW2RepairTests {
    private let directory: TemporaryDirectory
    private let whole: String
    private let damaged: String
    private let mended: String

    init() throws {
        directory = try TemporaryDirectory()
        whole = directory.file("whole.qcow2")
        damaged = directory.file("damaged.qcow2")
        mended = directory.file("mended.qcow2")
    }

    /// Each kind of image with one kind of damage, by turns, and the plain one with all of them.
    static let trials: [(QCOW2Specimen, QCOW2Damage.Kind)] = {
        let kinds = QCOW2Damage.Kind.allCases
        let turns = QCOW2Specimen.all.enumerated().map { ($0.element, kinds[$0.offset % kinds.count]) }
        return turns + kinds.dropFirst().map { (QCOW2Specimen.all[0], $0) }
    }()

    @Test(arguments: trials) func whatQEMUCountsIsCountedAndMended(specimen: QCOW2Specimen, kind: QCOW2Damage.Kind)
        throws
    {
        let seed: UInt64 = 6
        try specimen.make(whole, in: directory)
        #expect(try lathe("check", whole).status == 0, "\(specimen.name) before the damage")
        // Version 2 has no marks.
        if [.dirtyAndLow, .corruptMark].contains(kind), specimen.options.contains("0.10") { return }
        var damage = try QCOW2Damage(whole, seed: seed)
        try damage.apply(kind, to: damaged)
        try expectTheSameCounts(kind, "\(specimen.name), \(kind.rawValue), seed \(seed)")
        try expectMended(specimen, "\(specimen.name), \(kind.rawValue), seed \(seed)")
    }

    private func expectTheSameCounts(_ kind: QCOW2Damage.Kind, _ comment: Comment) throws {
        let ours = try lathe("check", "--output", "json", damaged)
        let theirs = try QEMU.run("check", "--output", "json", damaged)
        guard kind.isCountedAlike else {
            #expect(ours.status != 0, comment)
            return
        }
        // The mark is no corruption to QEMU.
        let marks: UInt64 = kind == .corruptMark ? 1 : 0
        #expect(theirs.status == ours.status || marks > 0, comment)
        let (our, their) = (try ours.json(), try theirs.json())
        #expect((our["corruptions"]?.number ?? 0) == (their["corruptions"]?.number ?? 0) + marks, comment)
        #expect((our["leaks"]?.number ?? 0) == (their["leaks"]?.number ?? 0), comment)
        for key in ["allocated-clusters", "compressed-clusters", "fragmented-clusters", "total-clusters"] {
            #expect((our[key]?.number ?? 0) == (their[key]?.number ?? 0), "\(comment): \(key)")
        }
    }

    private func expectMended(_ specimen: QCOW2Specimen, _ comment: Comment) throws {
        let repair = try lathe("check", "--repair", "all", "--output", "json", damaged, mended)
        #expect(repair.status == 0, "\(comment): \(repair.testDescription)")
        #expect(try lathe("check", mended).status == 0, comment)
        let check = try QEMU.run("check", mended)
        #expect(check.status == 0, "\(comment): \(check.testDescription)")
        let compared = try QEMU.run("compare", "-f", "qcow2", "-F", "qcow2", whole, mended)
        #expect(compared.status == 0, "\(comment): \(compared.testDescription)")
        // What can be read from this file alone is read before and after.
        if try lathe("digest", whole).status == 0 {
            #expect(try repair.json()["fingerprint"]?.text?.isEmpty == false, comment)
        }
        guard specimen.hasSnapshot else { return }
        for (image, raw) in [(whole, "whole.raw"), (mended, "mended.raw")] {
            try QEMU.make(["convert", "-l", "before", "-O", "raw", image, directory.file(raw)])
        }
        try Tool.run("cmp", [directory.file("whole.raw"), directory.file("mended.raw")])
    }

    @Test(arguments: QCOW2Specimen.all.enumerated().filter { $0.offset % 3 == 1 }.map(\.element))
    func leaksAloneAreGivenBackInPlace(specimen: QCOW2Specimen) throws {
        try specimen.make(whole, in: directory)
        var damage = try QCOW2Damage(whole, seed: 60)
        try damage.apply(.leaks, to: damaged)
        let before = try lathe("check", "--output", "json", damaged).json()
        try FileManager.default.copyItem(atPath: damaged, toPath: mended)
        let repair = try lathe("check", "--repair", "leaks", "--in-place", "--output", "json", mended)
        #expect(repair.status == 0, "\(repair.testDescription)")
        let after = try repair.json()
        #expect(after["leaks-fixed"] == before["leaks"] && after["leaks"]?.number == 0)
        #expect(try QEMU.run("check", mended).status == 0)
        #expect(try QEMU.run("compare", "-f", "qcow2", "-F", "qcow2", whole, mended).status == 0)
        let length = { (path: String) in try Data(contentsOf: URL(filePath: path)).count }
        #expect(try length(mended) == length(damaged))
    }

    @Test func aTableWhereNoneCanBeIsMadeAnewThoughQEMUGivesUp() throws {
        try QCOW2Specimen.all[0].make(whole, in: directory)
        for (offset, bytes) in [
            (48, [0, 0, 0, 0, 0, 1, 0, 7]), (56, [0, 0, 0, 0]), (56, [0, 9, 0, 0]), (50, [1, 0]),
        ]
            as [(Int, [UInt8])]
        {
            var data = try Data(contentsOf: URL(filePath: whole))
            data.replaceSubrange(offset..<offset + bytes.count, with: bytes)
            try data.write(to: URL(filePath: damaged))
            #expect(try QEMU.run("check", damaged).status != 0)
            let repair = try lathe("check", "--repair", "all", "--overwrite", damaged, mended)
            #expect(repair.status == 0, "\(repair.testDescription)")
            #expect(try QEMU.run("check", mended).status == 0)
            #expect(try QEMU.run("compare", "-f", "qcow2", "-F", "qcow2", whole, mended).status == 0)
        }
    }
}
