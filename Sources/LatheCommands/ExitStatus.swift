internal import ArgumentParser
internal import ImageModel

/// What `lathe` answers its caller.
///
/// Where `qemu-img` has a code for the same thing, it is the same.
///
/// | Code | Meaning |
/// |---|---|
/// | 0 | done; `check`: nothing found; `compare`: identical; `verify`: whole; `serve`: ended by a signal |
/// | 1 | failed, with one line on standard error; `check`: could not be done; `compare`: not identical; `verify`: can't tell |
/// | 2 | `check`: corruptions found, or left by a repair; `compare`: an image could not be opened; `verify`: damaged |
/// | 3 | `check`: leaks found, but no corruption |
/// | 4 | `compare`: an image could not be read to its end |
/// | 64 | the command line is wrong, has no verb, or can't be seen |
/// | 130 | stopped by a signal, `serve`: by a second one; nothing was left behind: SIGINT |
/// | 129, 131, 143 | the same by SIGHUP, SIGQUIT or SIGTERM: 128 and the number of the signal, as a shell says it |
/// | 141 | whoever read standard output went away before all was written (`lathe convert … - \| head`): nothing is printed, and of an image that was written there nothing was left behind; a shell says the same of a program that SIGPIPE ended |
enum ExitStatus {
    static let failure = ExitCode(1)
    static let checkIncomplete = ExitCode(1)
    static let checkCorruptions = ExitCode(2)
    static let checkLeaks = ExitCode(3)
    static let compareDifferent = ExitCode(1)
    static let compareCannotOpen = ExitCode(2)
    static let compareCannotRead = ExitCode(4)
    static let verifyUndecided = ExitCode(1)
    static let verifyDamaged = ExitCode(2)
    static let usage = ExitCode(64)
    /// By the signal that came.
    static var interrupted: ExitCode { ExitCode(SignalListener.exitStatus) }
    static let readerGone = ExitCode(141)

    /// Says why a verb failed, and answers how it ends.
    static func ending(
        with error: ImageError, failure: (ImageError) -> ExitCode = { _ in ExitStatus.failure }
    ) -> ExitCode {
        // Whoever would read it has gone away on purpose.
        guard error.code != .readerGone else { return readerGone }
        Rendering.note("lathe: \(error)")
        return error.code == .cancelled ? interrupted : failure(error)
    }
}
