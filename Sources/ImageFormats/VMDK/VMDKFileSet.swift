import ImageModel

/// The files of a disk that is a descriptor and extents: their names, as QEMU gives them, and their places in the address space in
/// which all are placed.
///
/// `disk.vmdk` has its extents in `disk-flat.vmdk`, `disk-f001.vmdk` and on, or `disk-s001.vmdk` and on.
struct VMDKFileSet: Hashable, Sendable {
    /// Sectors of an extent of a twoGbMaxExtent disk, as QEMU divides it: 2 GiB.
    static let splitSize: UInt64 = 4_194_304
    /// How far apart extents of 2 GiB begin: tables fit in between, and room is left, so that no two touch.
    private static let spacing = splitSize * sectorSize + 2 * MemberFile.alignment

    let subformat: VMDKSubformat
    /// In sectors.
    let capacity: UInt64
    /// The descriptor's name.
    let name: String
    /// Sectors of every extent but the last.
    let extentSize: UInt64
    /// A disk of no bytes has one extent, too.
    let count: UInt64

    /// - Throws: `invalid-option` for a name that can't stand in a descriptor; `limit-exceeded` for too many extents.
    init(_ subformat: VMDKSubformat, capacity: UInt64, name: String) throws(ImageError) {
        self.subformat = subformat
        self.capacity = capacity
        self.name = name
        extentSize = subformat == .monolithicFlat ? max(1, capacity) : Self.splitSize
        count = max(1, capacity.dividedRoundingUp(by: extentSize))
        guard count <= UInt64(ImageLimits.VMDK.extents) else {
            throw ImageError(
                .limitExceeded,
                "a disk of \(capacity) sectors has \(count) extents of 2 GiB, more than the \(ImageLimits.VMDK.extents) that Lathe "
                    + "reads; choose subformat=monolithicFlat or monolithicSparse")
        }
        guard ReferencedName.objection(to: name) == nil, !name.utf8.contains(UInt8(ascii: "\"")), !name.contains("/")
        else {
            throw ImageError(
                .invalidOption,
                "the destination's name '\(ReferencedName.shown(name))' can't be followed from a VMDK descriptor, which names the "
                    + "extents after it; choose a name without quotes, colons, backslashes and control characters")
        }
    }

    /// The name of an extent's file.
    func name(ofExtent index: UInt64) -> String {
        let dot = name.lastIndex(of: ".") ?? name.endIndex
        let number = String(index + 1)
        let padded = String(repeating: "0", count: max(0, 3 - number.count)) + number
        let role =
            switch subformat {
            case .twoGbMaxExtentSparse: "s" + padded
            case .twoGbMaxExtentFlat: "f" + padded
            case .monolithicFlat, .monolithicSparse, .streamOptimized: "flat"
            }
        return "\(name[..<dot])-\(role)\(name[dot...])"
    }

    /// Whether a file beside a descriptor is called as an extent of it can be.
    static func isName(_ name: String, ofExtentBeside descriptor: String) -> Bool {
        let dot = descriptor.lastIndex(of: ".") ?? descriptor.endIndex
        let (stem, ending) = (Array(descriptor[..<dot].utf8) + [UInt8(ascii: "-")], Array(descriptor[dot...].utf8))
        let name = Array(name.utf8)
        guard name.count > stem.count + ending.count, name.starts(with: stem),
            name.suffix(ending.count).elementsEqual(ending)
        else { return false }
        let role = name[stem.count..<name.count - ending.count]
        guard !role.elementsEqual("flat".utf8) else { return true }
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        return "fs".utf8.contains(role[role.startIndex]) && role.count > 3
            && role.dropFirst().allSatisfy(digits.contains)
    }

    /// Sectors of an extent.
    func size(ofExtent index: UInt64) -> UInt64 { min(extentSize, capacity - min(capacity, index * extentSize)) }

    /// Where an extent's file begins in the address space of all; the descriptor stands at its start.
    func start(ofExtent index: UInt64) -> FileOffset { FileOffset(MemberFile.alignment + index * Self.spacing) }

    /// The extent lines of the descriptor.
    var lines: String {
        (0..<count).map { index in
            let line = "RW \(size(ofExtent: index)) "
            let file = "\"\(name(ofExtent: index))\""
            return line + (subformat == .twoGbMaxExtentSparse ? "SPARSE \(file)" : "FLAT \(file) 0")
        }.joined(separator: "\n")
    }

    /// All files, the descriptor first.
    ///
    /// - Parameter length: of an extent's file, in bytes.
    func members(descriptorLength: Int, _ length: (UInt64) -> UInt64) -> [MemberFile] {
        let descriptor = MemberFile(name: name, range: FileRange(0, length: UInt64(descriptorLength)))
        return [descriptor]
            + (0..<count).map { index in
                MemberFile(
                    name: name(ofExtent: index),
                    range: FileRange(start: start(ofExtent: index), length: length(index)))
            }
    }
}
