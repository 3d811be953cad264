internal import ImageModel

/// Takes the parts of a configuration file out of its document.
struct ConfigurationFields {
    let directory: String

    func region(_ fields: inout FieldReader) throws(StateError) -> ServiceConfiguration.Region {
        ServiceConfiguration.Region(
            id: try fields.requiredText("id"), localName: try fields.text("localName"),
            endpoint: try fields.text("endpoint"), supportsExport: try fields.flag("supportsExport"), path: fields.path)
    }

    func account(_ fields: inout FieldReader, readFile: (String) throws(StateError) -> String) throws(StateError)
        -> ServiceConfiguration.Account
    {
        let id = try fields.text("id")
        let name = try fields.text("name")
        guard id != nil || name != nil else { throw fields.failure("id", "an account has an id, a name, or both") }
        var settings = AccountSettings(
            mayExport: try fields.flag("mayExport"), exportsDataDisks: try fields.flag("exportsDataDisks"))
        _ = try fields.object("quotas") { (quotas) throws(StateError) in
            settings.concurrentExports = try quotas.number("concurrentExports")
            settings.weeklyExports = try quotas.number("weeklyExports")
        }
        return ServiceConfiguration.Account(
            id: id, name: name, settings: settings,
            keys: try fields.objects("keys") { (fields) throws(StateError) in try key(&fields, readFile) },
            policies: try fields.objects("policies") { (fields) throws(StateError) in try policy(&fields) },
            roles: try fields.objects("roles") { (fields) throws(StateError) in try role(&fields) },
            buckets: try fields.objects("buckets") { (fields) throws(StateError) in
                ServiceConfiguration.Bucket(
                    name: try fields.requiredText("name"), region: try fields.requiredText("region"), path: fields.path)
            }, images: try fields.objects("images") { (fields) throws(StateError) in try image(&fields) },
            path: fields.path)
    }

    private func key(_ fields: inout FieldReader, _ readFile: (String) throws(StateError) -> String) throws(StateError)
        -> ServiceConfiguration.Key
    {
        let id = try fields.requiredText("id")
        var secret = try fields.text("secret")
        if let file = try fields.text("secretFile") {
            guard secret == nil else { throw fields.failure("secretFile", "secret and secretFile exclude each other") }
            do throws(StateError) {
                secret = try readFile(absolute(file))
            } catch {
                throw fields.failure("secretFile", error.message)
            }
        }
        return ServiceConfiguration.Key(id: id, secret: secret, isActive: try fields.flag("active"), path: fields.path)
    }

    private func policy(_ fields: inout FieldReader) throws(StateError) -> ServiceConfiguration.Policy {
        guard let document = try json(&fields, "document") else {
            throw fields.failure("document", "the field is missing")
        }
        return ServiceConfiguration.Policy(
            name: try fields.requiredText("name"), document: document, path: fields.path)
    }

    private func role(_ fields: inout FieldReader) throws(StateError) -> ServiceConfiguration.Role {
        let hasPolicies = fields.value("policies") != nil
        return ServiceConfiguration.Role(
            name: try fields.requiredText("name"), trustPolicy: try json(&fields, "trustPolicy"),
            maxSessionSeconds: try fields.number("maxSessionSeconds"),
            policies: hasPolicies ? try fields.texts("policies") : nil, path: fields.path)
    }

    /// A policy document: an object, or a text that is JSON.
    private func json(_ fields: inout FieldReader, _ name: String) throws(StateError) -> String? {
        switch fields.value(name) {
        case nil: return nil
        case .text(let text): return text
        case .some(let value): return versioned(value).json
        }
    }

    /// In YAML, `Version: 1` is a number, and policies have a text there.
    private func versioned(_ value: DocumentValue) -> DocumentValue {
        guard case .object(let members) = value else { return value }
        return .object(
            members.map { member in
                guard member.name == "Version", case .number(let digits) = member.value else { return member }
                return DocumentValue.Member(name: member.name, value: .text(digits))
            })
    }

    private func image(_ fields: inout FieldReader) throws(StateError) -> ServiceConfiguration.Image {
        var status: ImageRecord.Status?
        if let text = try fields.text("status") {
            status = ImageRecord.Status(rawValue: text)
            guard status != nil else {
                let all = ImageRecord.Status.allCases.map(\.rawValue).joined(separator: ", ")
                throw fields.failure("status", "there is no status '\(text)'; there are \(all)")
            }
        }
        return ServiceConfiguration.Image(
            id: try fields.text("id"), name: try fields.requiredText("name"), region: try fields.requiredText("region"),
            description: try fields.text("description"), status: status, productCode: try fields.text("productCode"),
            licenseRestriction: try fields.text("licenseRestriction"), osType: try fields.text("osType"),
            architecture: try fields.text("architecture"), platform: try fields.text("platform"),
            disks: try fields.objects("disks") { (fields) throws(StateError) in
                ServiceConfiguration.Image.Disk(
                    file: ServiceConfiguration.DiskFile(
                        path: absolute(try fields.requiredText("path")), format: try fields.text("format")),
                    device: try fields.text("device"),
                    isEncrypted: try fields.flag("encrypted") ?? false, path: fields.path)
            }, path: fields.path)
    }

    private func absolute(_ path: String) -> String { path.hasPrefix("/") ? path : directory + "/" + path }
}
