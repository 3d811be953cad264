internal import ECSWire

extension ExportService {
    /// AssumeRole (STS 2015-04-01): a temporary key of a role that lets the caller assume it.
    func assumeRole(_ call: APICall) throws(APIError) -> AnswerObject {
        let parameters = call.parameters
        for name in ["ExternalId", "SourceIdentity"] where parameters.text(name) != nil {
            throw .invalidParameter(name, "trust policies here have no conditions that it could meet; leave it out")
        }
        let request = SessionRequest(
            roleARN: try parameters.required("RoleArn"), sessionName: try parameters.required("RoleSessionName"),
            durationSeconds: try parameters.number("DurationSeconds", in: 0...1_000_000) ?? 3600,
            policy: parameters.text("Policy"))
        let session: IssuedSession
        do throws(StateError) { session = try state.assumeRole(request, by: call.principal) } catch {
            throw Self.refusal(error)
        }
        return [
            "Credentials": .object([
                "AccessKeyId": .text(session.accessKeyID), "AccessKeySecret": .text(session.secret),
                "SecurityToken": .text(session.token), "Expiration": .time(session.expires),
            ]),
            "AssumedRoleUser": .object([
                "Arn": .text(session.assumedRoleARN), "AssumedRoleId": .text(session.assumedRoleID),
            ]),
        ]
    }

    private static func refusal(_ error: StateError) -> APIError {
        switch error.code {
        case .invalid: .invalidParameter(error.subject ?? "RoleArn", error.message)
        case .notFound: APIError(404, "EntityNotExist.Role", "The role does not exist.")
        case .forbidden:
            APIError(403, "NoPermission", "You are not authorized to do this action. You should be authorized by RAM.")
        case .limitExceeded: APIError(403, "LimitExceeded.Session", "\(error.message).")
        default: APIError(error)
        }
    }
}
