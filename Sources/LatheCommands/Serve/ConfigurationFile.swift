internal import ExportService
internal import FoundationEssentials
internal import ImageModel

/// `--config`: what a file says that there must be, as 'lathe admin apply' makes it.
enum ConfigurationFile {
    /// - Returns: the keys whose secrets were made up, to be shown this once.
    static func apply(_ path: String, to state: ServiceState) throws(ImageError) -> [AccessKeyRecord] {
        let path = WorkingDirectory.absolute(path)
        let directory = PathText.directory(of: path)
        let text = try SmallFile.read(path)
        do throws(StateError) {
            let configuration = try ServiceConfiguration(text, relativeTo: directory) { (path) throws(StateError) in
                do throws(ImageError) { return try SmallFile.secret(path) } catch {
                    throw StateError(.invalid, error.description)
                }
            }
            return try state.apply(configuration, facts: facts(configuration)).madeKeys
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
