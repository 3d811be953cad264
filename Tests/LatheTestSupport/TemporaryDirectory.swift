public import Foundation

/// A directory of one test's own; it goes, with all that is in it, when its owner does.
public final class TemporaryDirectory: Sendable {
    public let path: String

    /// - Parameter parent: where it is made; by default where temporary files go.
    public init(in parent: String = NSTemporaryDirectory()) throws {
        path = URL(filePath: parent).appending(path: "lathe-test-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// The path of a file in it.
    public func file(_ name: String) -> String { "\(path)/\(name)" }

    /// What is in it, hidden files too, in order.
    public var contents: [String] {
        get throws { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }
    }
}
