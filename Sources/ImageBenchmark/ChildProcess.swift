internal import Glibc
internal import ImageModel
internal import ImagePipeline

/// Runs another program to its end, with nothing to read; what it prints is kept.
enum ChildProcess {
    struct Outcome: Sendable {
        /// As `waitpid` has it; 0 is success.
        var status: Int32
        var output: String
    }

    private static let pollMilliseconds: Int32 = 20
    /// A program that prints more than this is not listened to any further.
    private static let mostOutput = 64 << 10

    /// Runs a program that is looked up in PATH.
    ///
    /// - Returns: nil where it is not there, or can't be run.
    /// - Throws: `cancelled`, once the program has been killed.
    static func run(_ arguments: [String], _ cancellation: CancellationFlag) throws(ImageError) -> Outcome? {
        var ends: [Int32] = [0, 0]
        guard unsafe pipe(&ends) == 0 else { return nil }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(ends[0]) }
        let child = spawn(arguments, output: ends[1])
        close(ends[1])
        guard let child else { return nil }
        let output = listen(to: ends[0], until: cancellation)
        if cancellation.isCancelled { kill(child, SIGKILL) }
        var status: Int32 = 0
        while unsafe waitpid(child, &status, 0) < 0 && errno == EINTR {}
        try WorkOptions(cancellation: cancellation).requireGoingOn()
        return Outcome(status: status, output: output)
    }

    private static func spawn(_ arguments: [String], output: Int32) -> pid_t? {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        unsafe posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        unsafe posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO)

        // We block the signals that we listen to, and ignore others; another program must not inherit that.
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        unsafe posix_spawnattr_setsigmask(&attributes, &signals)
        unsafe sigaddset(&signals, SIGPIPE)
        unsafe sigaddset(&signals, SIGXFSZ)
        unsafe posix_spawnattr_setsigdefault(&attributes, &signals)
        unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        var words: [UnsafeMutablePointer<CChar>?] = unsafe arguments.map { unsafe strdup($0) } + [nil]
        defer { unsafe words.forEach { unsafe free($0) } }
        guard let program = unsafe words[0] else { return nil }
        var child: pid_t = 0
        let status = unsafe posix_spawnp(&child, program, &actions, &attributes, &words, environ)
        return status == 0 ? child : nil
    }

    /// What comes out of a pipe until its other end is closed, or somebody asks to stop.
    private static func listen(to descriptor: Int32, until cancellation: CancellationFlag) -> String {
        var heard: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 4096)
        while !cancellation.isCancelled {
            var wanted = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard unsafe poll(&wanted, 1, pollMilliseconds) > 0 else { continue }
            let count = unsafe read(descriptor, &block, block.count)
            if count > 0 {
                if heard.count < mostOutput { heard += block[..<count] }
            } else if count == 0 || errno != EINTR {
                break
            }
        }
        return String(decoding: heard, as: UTF8.self)
    }
}
