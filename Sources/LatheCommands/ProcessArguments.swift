internal import CImageKernels
internal import ImageModel

/// What the process was called with.
///
/// As the C library handed it over: Swift's own `CommandLine` reads `/proc/self/cmdline`, which a sandbox may not have, and puts
/// U+FFFD in the place of bytes that are not UTF-8.
enum ProcessArguments {
    /// All but the program's name, as `PathText` has them; nil where they can't be seen.
    static var all: [String]? {
        let count = lathe_argument_count()
        guard count > 0 else { return nil }
        var arguments: [String] = []
        for index in 1..<count {
            guard let word = unsafe lathe_argument(index) else { return nil }
            arguments.append(unsafe PathText.text(of: word))
        }
        return arguments
    }
}
