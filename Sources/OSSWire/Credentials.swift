/// Who signs, and with what.
///
/// Its descriptions and mirror never show the secret or the token, so that neither gets into a log by accident.
public struct Credentials: Hashable, Sendable {
    public var accessKeyID: String
    public var accessKeySecret: String
    /// What the security token service gave with a temporary key.
    public var securityToken: String?

    public init(accessKeyID: String, accessKeySecret: String, securityToken: String? = nil) {
        self.accessKeyID = accessKeyID
        self.accessKeySecret = accessKeySecret
        self.securityToken = securityToken
    }
}

extension Credentials: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String {
        "access key \(accessKeyID), secret not shown\(securityToken == nil ? "" : ", with a token, not shown")"
    }

    public var debugDescription: String { description }

    public var customMirror: Mirror {
        Mirror(self, children: ["accessKeyID": accessKeyID, "hasToken": securityToken != nil], displayStyle: .struct)
    }
}
