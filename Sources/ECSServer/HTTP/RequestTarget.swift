internal import ECSWire
internal import Hummingbird
internal import HummingbirdCore
internal import OSSWire

/// What the first line of a request names, and the host.
struct RequestTarget {
    /// Still escaped.
    let path: String
    /// Still escaped; empty where there is none.
    let query: String
    private let host: String?

    init(_ request: Request) {
        let target = request.head.path ?? ""
        let halves = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        path = halves.first.map(String.init) ?? ""
        query = halves.count == 2 ? String(halves[1]) : ""
        host = request.head.authority
    }

    /// RFC 3986, section 2: an address is ASCII; bytes of any other kind may have been changed in reading.
    func check() throws(APIError) {
        guard query.utf8.allSatisfy({ 0x21...0x7E ~= $0 }) else {
            throw .malformedRequest("its address has a character that must be escaped")
        }
    }

    /// - Parameter headers: those that stand beside the first `Host`.
    func requireHost(_ headers: [HeaderField]) throws(APIError) -> String {
        guard let host, !host.isEmpty, !headers.contains(where: { $0.name.lowercased() == "host" }) else {
            throw .malformedRequest("it must have the header Host, once")
        }
        return host
    }

    /// The host as it may stand in an answer; empty where it is none.
    var safeHost: String {
        guard let host, host.utf8.count <= 255 else { return "" }
        let isHost = host.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: ":"),
                UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
        return isHost ? host : ""
    }
}
