/// What the gateway itself refuses with; the vendor's words, where they are known ("Common error codes").
extension APIError {
    public static func missingParameter(_ name: String) -> APIError {
        APIError(
            400, "MissingParameter",
            "The input parameter \"\(name)\" that is mandatory for processing this request is not supplied.")
    }

    /// - Parameter reason: a clause that says what was expected; none where the vendor's words say it all.
    public static func invalidParameter(_ name: String, _ reason: String? = nil) -> APIError {
        let reason = reason.map { ": \($0)." } ?? "."
        return APIError(400, "InvalidParameter", "The specified parameter \"\(name)\" is not valid\(reason)")
    }

    /// The request itself can't be read, whatever it asks for.
    public static func malformedRequest(_ reason: String) -> APIError {
        APIError(400, "InvalidParameter", "The request is not well formed: \(reason).")
    }

    /// - Parameter limit: how many bytes query and form may have together.
    public static func requestTooLarge(limit: Int) -> APIError {
        APIError(
            413, "RequestBodyTooLarge", "The query and the body of a request have at most \(limit) bytes together.")
    }

    public static let unsupportedMediaType = APIError(
        415, "UnsupportedMediaType",
        "The body of a request is a form: its Content-Type is application/x-www-form-urlencoded, in UTF-8.")

    public static let unsupportedMethod = APIError(
        405, "UnsupportedHTTPMethod", "This http method is not supported: use GET or POST.")

    public static let actionNotFound = APIError(
        404, "InvalidAction.NotFound", "Specified api is not found, please check your url and method.")
}

/// Failures to prove who one is.
extension APIError {
    public static let accessKeyNotFound = APIError(
        404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")

    public static let accessKeyInactive = APIError(
        400, "InvalidAccessKeyId.Inactive", "Specified access key is disabled.")

    public static let malformedTimestamp = APIError(
        400, "InvalidTimeStamp.Format",
        "Specified time stamp or date value is not well formatted: it is of the form 2023-10-26T10:22:32Z.")

    public static let expiredTimestamp = APIError(
        400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")

    /// - Parameter text: what the server would have had signed. The vendor's clients take what stands behind the only
    ///   colon, and tell a wrong secret from a wrong signature by it.
    public static func signatureDoesNotMatch(stringToSign text: String) -> APIError {
        APIError(
            400, "SignatureDoesNotMatch",
            "Specified signature is not matched with our calculation. server string to sign is:\(text)")
    }

    public static let nonceUsed = APIError(
        400, "SignatureNonceUsed", "Specified signature nonce was used already.")

    public static let missingSecurityToken = APIError(
        400, "MissingSecurityToken", "SecurityToken is mandatory for this access key.")

    public static let malformedSecurityToken = APIError(
        400, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed.")

    public static let mismatchedSecurityToken = APIError(
        400, "InvalidSecurityToken.MismatchWithAccessKey",
        "Specified SecurityToken is not that of the specified access key.")

    public static let expiredSecurityToken = APIError(
        400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")
}

/// What is no fault of the request.
extension APIError {
    /// - Parameter retryAfterSeconds: when there is room for another request, from 1.
    public static func throttled(retryAfterSeconds: Int) -> APIError {
        APIError(
            400, "Throttling.User", "Request was denied due to user flow control.",
            retryAfterSeconds: retryAfterSeconds)
    }

    /// - Parameter cause: for the log; the caller is told nothing of it.
    public static func internalError(_ cause: String) -> APIError {
        APIError(
            500, "InternalError", "The request processing has failed due to some unknown error, exception or failure.",
            cause: cause)
    }

    /// - Parameter reason: a sentence that callers may read.
    public static func unavailable(_ reason: String) -> APIError {
        APIError(
            503, "ServiceUnavailable", "The request has failed due to a temporary failure of the server. \(reason)")
    }
}
