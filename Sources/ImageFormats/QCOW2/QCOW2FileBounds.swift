import ImageModel

/// What of a file the tables may refer to.
struct QCOW2FileBounds {
    let header: QCOW2Header
    /// How L2 entries are read.
    let rules: QCOW2EntryRules
    /// Of the file, in bytes.
    let length: UInt64

    init(header: QCOW2Header, length: UInt64) {
        self.header = header
        rules = QCOW2EntryRules(header)
        self.length = length
    }

    func isHeld(_ range: FileRange) -> Bool {
        let (end, overflow) = range.start.bytes.addingReportingOverflow(range.length)
        return !overflow && end <= length
    }

    func clusters(of range: FileRange) -> Range<UInt64> {
        range.start.bytes / header.clusterSize..<range.end.bytes.dividedRoundingUp(by: header.clusterSize)
    }

    /// How many clusters the file has, the last one perhaps in part.
    var fileClusters: UInt64 { length.dividedRoundingUp(by: header.clusterSize) }

    /// Where the clusters of an entry are in this file, or why they can't be there.
    enum Touched {
        case nothing
        case clusters(Range<UInt64>)
        case fault(QCOW2EntryFault)
    }

    /// - Parameter guest: where the disk has what the entry maps; nil in a snapshot, whose size is not known here.
    func touched(by use: QCOW2ClusterUse, guest: GuestOffset?) -> Touched {
        switch use {
        case .nothing, .dataFile:
            return .nothing
        case .misplaced(let offset):
            return .fault(.misplaced(offset, clusterSize: header.clusterSize))
        case .packedElsewhere:
            return .fault(.packedElsewhere)
        case .cluster(let offset, _):
            // The file may end inside its last cluster, but not before it.
            guard offset < length else {
                return .fault(lost("a cluster at \(offset)"))
            }
            let cluster = offset / header.clusterSize
            return .clusters(cluster..<cluster + 1)
        case .compressed(let stored):
            let clusters = clusters(of: stored)
            guard stored.start.bytes < length, clusters.upperBound <= fileClusters else {
                return .fault(lost("compressed bytes from \(stored.start.bytes) to \(stored.end.bytes)"))
            }
            return .clusters(clusters)
        }
    }

    /// How many bytes that the guest reads are behind the file's end, where any are; nil in a snapshot.
    func missing(of use: QCOW2ClusterUse, guest: GuestOffset?) -> UInt64? {
        guard case .cluster(let offset, let readLength) = use, let guest, offset < length else { return nil }
        // Nobody reads what is behind the disk's end.
        let needed = min(readLength, header.virtualSize - min(guest.bytes, header.virtualSize))
        return needed > length - offset ? needed - (length - offset) : nil
    }

    private func lost(_ found: String) -> QCOW2EntryFault {
        QCOW2EntryFault(
            found: "the place of \(found)", expected: "one before the file's end at \(length)",
            consequence: "the file was cut short or the entry is damaged, and the guest's bytes there are lost")
    }

    /// The flag of a sole reference where no refcount says what it must be.
    ///
    /// - Returns: whether it is a corruption.
    func reportFlag(
        of entry: UInt64, _ subject: @autoclosure () -> String, use: QCOW2ClusterUse, at place: FileOffset,
        guest: GuestOffset?, _ report: inout CheckReport
    ) -> Bool {
        let isSet = entry & QCOW2Tables.copiedFlag != 0
        switch use {
        case .nothing where isSet:
            report.add(
                .warning, subject(), is: "the flag of a sole reference alone",
                expected: "0, since it refers to nothing",
                "it is without effect", at: place, guest: guest)
            return false
        case .compressed where isSet:
            report.add(
                .corruption, subject(), is: "\(hex(entry)), compressed and with the flag of a sole reference",
                expected: "that flag clear, since compressed clusters share theirs",
                "a program may write over what other clusters have there", at: place, guest: guest)
            return true
        case .dataFile(let offset) where !isSet && guest != nil:
            report.add(
                .corruption, subject(), is: "\(offset) without the flag of a sole reference",
                expected: "the flag, which all clusters in a data file have",
                "a program may move the cluster where it must not", at: place, guest: guest)
            return true
        default:
            return false
        }
    }
}
