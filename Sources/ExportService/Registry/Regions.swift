internal import GRDB

extension ServiceState {
    /// Makes a region, or changes what is said of one; nil leaves what is there.
    ///
    /// - Parameters:
    ///   - endpoint: what DescribeRegions answers: a host, with a port where it is not the usual one; empty
    ///     is that which a client has come to.
    ///   - supportsExport: whether images can be exported from it and imported into it.
    /// - Throws: `invalid`.
    @discardableResult
    package func setRegion(_ id: String, localName: String? = nil, endpoint: String? = nil, supportsExport: Bool? = nil)
        throws(StateError) -> RegionRecord
    {
        try database.write { db in
            try db.setRegion(id, localName: localName, endpoint: endpoint, supportsExport: supportsExport)
        }
    }

    /// In the order of their ids.
    package func regions() throws(StateError) -> [RegionRecord] {
        try database.read { db in try RegionRecord.order(Column("id")).fetchAll(db) }
    }

    package func region(_ id: String) throws(StateError) -> RegionRecord? {
        try database.read { db in try db.region(id) }
    }

    /// - Throws: `not-found`; `in-use` while buckets or images are in it.
    package func removeRegion(_ id: String) throws(StateError) {
        try database.write { db in
            let region = try db.requireRegion(id)
            let inRegion = Column("regionID") == id
            guard try BucketRecord.filter(inRegion).isEmpty(db), try ImageRecord.filter(inRegion).isEmpty(db) else {
                throw StateError(.inUse, "buckets or images are in the region; remove them first", subject: id)
            }
            try region.delete(db)
        }
    }
}

extension Database {
    func region(_ id: String) throws -> RegionRecord? { try RegionRecord.filter(Column("id") == id).fetchOne(self) }

    /// - Throws: `not-found`.
    func requireRegion(_ id: String) throws -> RegionRecord {
        guard let region = try region(id) else {
            throw StateError(
                .notFound, "there is no region of this id; 'lathe admin region list' shows them", subject: id)
        }
        return region
    }

    func setRegion(_ id: String, localName: String?, endpoint: String?, supportsExport: Bool?) throws -> RegionRecord {
        try Names.requireRegionID(id)
        try Names.requireText(localName, atMost: 128, "the name of a region")
        try Names.requireEndpoint(endpoint)
        var region =
            try self.region(id)
            ?? RegionRecord(id: id, localName: id, endpoint: "", supportsExport: true)
        region.localName = localName ?? region.localName
        region.endpoint = endpoint ?? region.endpoint
        region.supportsExport = supportsExport ?? region.supportsExport
        try region.save(self)
        return region
    }
}
