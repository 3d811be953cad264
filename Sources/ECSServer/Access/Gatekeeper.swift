internal import ECSWire
internal import OSSWire

/// Lets a request through to the backend once its signature is proved, and no other.
struct Gatekeeper: Sendable {
    /// How far the clocks of a client and the server may be apart, in seconds.
    static let greatestSkew: UInt64 = 15 * 60

    struct Outcome: Sendable {
        var result: Result<AnswerObject, APIError>
        /// Nil where the signature was not right.
        var accountID: String?
    }

    private let backend: any RPCBackend
    private let throttle: RequestThrottle?

    init(_ backend: any RPCBackend, throttle: RequestThrottle?) {
        self.backend = backend
        self.throttle = throttle
    }

    /// Carries a request out, or says why not; it may block.
    ///
    /// - Parameter now: in seconds since 1970-01-01 UTC.
    func carryOut(_ message: RPCMessage, _ claim: SignatureClaim, requestID: String, at now: UInt64) -> Outcome {
        var outcome = Outcome(result: .failure(.internalError("no answer was made")), accountID: nil)
        do throws(APIError) {
            let principal = try prove(message, claim, at: now)
            outcome.accountID = principal.accountID
            try admit(claim, at: now)
            let request = RPCRequest(
                action: claim.action, version: claim.version, parameters: message.parameters, principal: principal,
                requestID: requestID)
            outcome.result = .success(try backend.perform(request))
        } catch {
            outcome.result = .failure(error)
        }
        return outcome
    }

    /// Who sent the request.
    private func prove(_ message: RPCMessage, _ claim: SignatureClaim, at now: UInt64) throws(APIError) -> Principal {
        guard let key = try backend.signingKey(claim.accessKeyID) else { throw .accessKeyNotFound }
        guard max(now, claim.signed) - min(now, claim.signed) <= Self.greatestSkew else { throw .expiredTimestamp }
        guard claim.isRight(for: message, secret: key.secret) else {
            throw .signatureDoesNotMatch(stringToSign: claim.stringToSign(message))
        }
        try requireToken(claim.securityToken, key, at: now)
        return key.principal
    }

    /// The token of a temporary key comes with every request, and with no request of another key.
    private func requireToken(_ token: String?, _ key: SigningKey, at now: UInt64) throws(APIError) {
        if let wanted = key.tokenSHA256 {
            guard let token else { throw .missingSecurityToken }
            guard ConstantTime.equal(SigningDigest.sha256(token), wanted) else { throw .mismatchedSecurityToken }
        } else if token != nil {
            throw .mismatchedSecurityToken
        }
        if let expires = key.expires, now >= expires { throw .expiredSecurityToken }
    }

    /// A nonce is used up only by whoever has the secret.
    private func admit(_ claim: SignatureClaim, at now: UInt64) throws(APIError) {
        // Until then the signature itself is taken, at any time of which this server's clock may show it.
        let expires = claim.signed + Self.greatestSkew + 1
        guard try backend.claimNonce(claim.nonce, of: claim.accessKeyID, expires: expires) else { throw .nonceUsed }
        if let wait = throttle?.take(claim.accessKeyID, at: now) { throw .throttled(retryAfterSeconds: wait) }
    }
}
