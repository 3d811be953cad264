// Descriptions and mirrors of what holds a secret never show it, so that it gets into no log by accident.

extension AccessKeyRecord: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "access key \(id) of \(accountID), secret not shown" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: ["id": id, "accountID": accountID]) }
}

extension SessionRecord: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String {
        "session \(sessionName) of the role \(roleName) of \(accountID), secret not shown"
    }
    package var debugDescription: String { description }
    package var customMirror: Mirror {
        Mirror(self, children: ["accessKeyID": accessKeyID, "accountID": accountID, "roleName": roleName])
    }
}

extension IssuedSession: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "session \(assumedRoleARN), secret and token not shown" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: ["accessKeyID": accessKeyID]) }
}
