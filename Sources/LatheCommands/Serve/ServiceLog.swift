internal import ArgumentParser
internal import ECSWire
internal import Glibc
internal import Logging

/// `--log`: for people or for programs.
enum LogFormat: String, ExpressibleByArgument, CaseIterable {
    case human, json
}

/// Writes a line on standard error for each event, with what is known of the request and the task that it belongs to.
struct ServiceLog: LogHandler {
    let format: LogFormat
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?

    init(_ format: LogFormat, level: Logger.Level) {
        self.format = format
        logLevel = level
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var all = metadata
        for (name, value) in metadataProvider?.get() ?? [:] { all[name] = value }
        for (name, value) in event.metadata ?? [:] { all[name] = value }
        let time = APITime.format(UInt64(clamping: time(nil)))
        // One write a line: those of several threads do not mix.
        switch format {
        case .human: Rendering.note(Self.text(event, time, all))
        case .json: Rendering.note(Self.json(event, time, all))
        }
    }

    private static func text(_ event: LogEvent, _ time: String, _ metadata: Logger.Metadata) -> String {
        var line = "\(time) \(event.level.rawValue): \(oneLine("\(event.message)"))"
        for (name, value) in metadata.sorted(by: { $0.key < $1.key }) { line += " \(name)=\(quoted("\(value)"))" }
        return line
    }

    /// What a client wrote ends no line, and moves no cursor.
    private static func oneLine(_ text: String) -> String {
        String(text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? " " : Character($0) })
    }

    private static func quoted(_ text: String) -> String {
        let text = oneLine(text)
        return text.contains { $0 == " " || $0 == "\"" } ? "\"\(text.replacing("\"", with: "'"))\"" : text
    }

    private static func json(_ event: LogEvent, _ time: String, _ metadata: Logger.Metadata) -> String {
        var fields = metadata.mapValues { "\($0)" }
        (fields["time"], fields["level"], fields["message"]) = (time, event.level.rawValue, "\(event.message)")
        return (try? Rendering.json(fields, pretty: false)) ?? text(event, time, metadata)
    }
}
