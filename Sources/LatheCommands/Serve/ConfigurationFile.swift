internal import ExportService
internal import FoundationEssentials
internal import ImageModel

/// `--config`: what a file says that there must be, as 'lathe admin apply' makes it.
enum ConfigurationFile {
    typealias Content = (configuration: ServiceConfiguration, facts: [ServiceConfiguration.DiskFile: DiskFacts])

    /// Reads it, and looks at the disks that it names; nothing is made.
    static func read(_ path: String) throws(ImageError) -> Content {
        let path = WorkingDirectory.absolute(path)
        let directory = PathText.directory(of: path)
        let text = try SmallFile.read(path)
        do throws(StateError) {
            let configuration = try ServiceConfiguration(text, relativeTo: directory) { (path) throws(StateError) in
                do throws(ImageError) { return try SmallFile.secret(path) } catch {
                    throw StateError(.invalid, error.description)
                }
            }
            return (configuration, try facts(configuration))
        } catch {
            throw ImageError(.invalidOption, error.description, path: path)
        }
    }

    private static func facts(
        _ configuration: ServiceConfiguration
    ) throws(StateError) -> [ServiceConfiguration.DiskFile: DiskFacts] {
        var facts: [ServiceConfiguration.DiskFile: DiskFacts] = [:]
        for disk in configuration.diskFiles {
            do throws(ImageError) {
                facts[disk] = try DiskExamination.facts(of: disk.path, formatName: disk.format)
            } catch {
                throw StateError(.invalid, error.description)
            }
        }
        return facts
    }
}
