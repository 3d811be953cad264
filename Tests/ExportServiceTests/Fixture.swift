import ExportService
import LatheTestSupport
import Synchronization

/// A service's state in a directory of its own, with a clock that stands until it is moved.
final class Fixture: Sendable {
    let directory: TemporaryDirectory
    let state: ServiceState
    let clock = MovableClock()

    init() throws {
        let directory = try TemporaryDirectory()
        let clock = clock
        self.directory = directory
        state = try ServiceState(directory: directory.file("service"), clock: { clock.now })
    }

    /// An account, and the region cn-hangzhou.
    func account(_ name: String = "build") throws -> String {
        try state.setRegion("cn-hangzhou")
        return try state.makeAccount(name: name).id
    }
}

final class MovableClock: Sendable {
    private let time = Mutex<UInt64>(1_700_000_000)

    var now: UInt64 { time.withLock { $0 } }

    func advance(_ seconds: UInt64) { time.withLock { $0 += seconds } }
}

/// The code of the error that a call throws; nil where it throws none.
func code(_ body: () throws -> Void) -> StateError.Code? {
    do {
        try body()
        return nil
    } catch {
        return (error as? StateError)?.code
    }
}

/// The description of the error that a call throws; empty where it throws none.
func message(_ body: () throws -> Void) -> String {
    do {
        try body()
        return ""
    } catch {
        return "\(error)"
    }
}

/// A policy of one statement.
func policy(_ effect: String, _ action: String, _ resource: String) -> String {
    #"{"Version":"1","Statement":[{"Effect":"\#(effect)","Action":\#(action),"Resource":\#(resource)}]}"#
}
