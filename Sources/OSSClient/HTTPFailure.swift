internal import AsyncHTTPClient
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import NIOSSL
internal import ObjectStorage

/// What goes wrong below HTTP, and what it means to a store.
enum HTTPFailure: Error {
    /// The answer is longer than so many bytes.
    case tooLong(Int)
    case noAnswer

    /// - Parameter patience: how long a connection may stand still, in seconds.
    static func storeError(_ error: any Error, patience: Double) -> StoreError {
        switch error {
        case let error as StoreError: error
        case HTTPFailure.tooLong(let limit):
            StoreError(.malformedAnswer, "the answer is longer than the \(limit) bytes that were asked for")
        case HTTPFailure.noAnswer: broken("the connection was closed without an answer", nil)
        case let error as HTTPClientError: storeError(error)
        case let error as NIOSSLError: secure(error)
        case let error as NIOSSLExtraError:
            StoreError(
                .connection, "the server's certificate is not for the name that was asked for; look at the endpoint",
                cause: Reason(error))
        case let error as BoringSSLError: secure(.handshakeFailed(error))
        case let error as HTTPParserError: broken("the server's answer is no whole HTTP answer", error)
        case let error as NIOConnectionError:
            broken("no connection to \(printable(error.host)), port \(error.port), can be made", error)
        default: broken("the connection failed", error)
        }
    }

    private static func storeError(_ error: HTTPClientError) -> StoreError {
        switch error {
        case .alreadyShutdown: StoreError(.cancelled, "the store has been shut down")
        case .cancelled: StoreError(.cancelled, "the request was stopped")
        case .connectTimeout, .getConnectionFromPoolTimeout, .tlsHandshakeTimeout:
            broken("no connection was made in time", error)
        case .remoteConnectionClosed, .uncleanShutdown, .requestStreamCancelled:
            broken("the server closed the connection before its answer was whole", error)
        case .readTimeout, .writeTimeout, .deadlineExceeded: broken("the connection stood still", error)
        default:
            // The whole error would show the headers that can't be sent, keys and tokens among them.
            StoreError(.invalidRequest, "the request can't be made: \(error.shortDescription)")
        }
    }

    private static func broken(_ message: String, _ cause: (any Error)?) -> StoreError {
        StoreError(.connection, message, persistence: .transient, cause: cause.map { Reason($0) })
    }

    private static func secure(_ error: NIOSSLError) -> StoreError {
        guard case .handshakeFailed(let reason) = error, "\(reason)".contains("CERTIFICATE_VERIFY_FAILED") else {
            return broken("the secure connection failed", error)
        }
        return StoreError(
            .connection,
            "the server's certificate is not trusted; where it is your own, name its authority's certificate",
            cause: Reason(error))
    }

    /// An error of a library as one line.
    struct Reason: Error, CustomStringConvertible {
        let description: String

        init(_ error: any Error) { description = printable("\(error)", atMost: 300) }
    }
}
