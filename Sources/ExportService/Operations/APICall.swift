internal import ECSWire

/// A request in the hands of an operation.
struct APICall: Sendable {
    let parameters: Parameters
    let principal: Principal
    let requestID: String

    init(_ request: RPCRequest) {
        parameters = Parameters(request.parameters)
        principal = request.principal
        requestID = request.requestID
    }

    var accountID: String { principal.accountID }
}

/// One operation of the API: how it is carried out, and what a role must be allowed for it.
struct APIOperation: Sendable {
    struct Name: Hashable, Sendable {
        var version: String
        var action: String

        init(_ version: String, _ action: String) {
            self.version = version
            self.action = action
        }
    }

    /// As `ecs:ExportImage`; nil where the operation itself asks.
    var permission: String?
    /// What it is about, as RAM names it.
    var resource: @Sendable (APICall) -> String
    var perform: @Sendable (ExportService, APICall) throws(APIError) -> AnswerObject

    /// ECS 2014-05-26 and STS 2015-04-01, as far as they are served, and what the console asks for beside them.
    static let table: [Name: APIOperation] = {
        let ecs = "2014-05-26"
        var table: [Name: APIOperation] = [:]
        func add(
            _ action: String, _ kind: String, _ parameter: String?,
            _ perform: @escaping @Sendable (ExportService, APICall) throws(APIError) -> AnswerObject
        ) {
            table[Name(ecs, action)] = APIOperation(
                permission: "ecs:\(action)", resource: { $0.resource(kind, parameter) }, perform: perform)
        }
        add("ExportImage", "image", "ImageId") { (it, call) throws(APIError) in try it.exportImage(call) }
        add("ImportImage", "image", nil) { (it, call) throws(APIError) in try it.importImage(call) }
        add("DescribeImages", "image", nil) { (it, call) throws(APIError) in try it.describeImages(call) }
        add("DescribeRegions", "region", nil) { (it, call) throws(APIError) in try it.describeRegions(call) }
        add("DescribeTasks", "task", nil) { (it, call) throws(APIError) in try it.describeTasks(call) }
        add("DescribeTaskAttribute", "task", "TaskId") { (it, call) throws(APIError) in
            try it.describeTaskAttribute(call)
        }
        add("CancelTask", "task", "TaskId") { (it, call) throws(APIError) in try it.cancelTask(call) }
        add("DescribeBuckets", "bucket", nil) { (it, call) throws(APIError) in try it.describeBuckets(call) }
        add("DescribeExportedObjects", "task", nil) { (it, call) throws(APIError) in
            try it.describeExportedObjects(call)
        }
        add("VerifyExportedObject", "task", "TaskId") { (it, call) throws(APIError) in
            try it.verifyExportedObject(call)
        }
        table[Name("2015-04-01", "AssumeRole")] = APIOperation(
            permission: nil, resource: { _ in "" }, perform: { (it, call) throws(APIError) in try it.assumeRole(call) })
        return table
    }()
}

extension APICall {
    /// As `acs:ecs:cn-hangzhou:1234567890123456:image/m-bp67acfmxazb4p1a2b3c`.
    fileprivate func resource(_ kind: String, _ parameter: String?) -> String {
        "acs:ecs:\(parameters.text("RegionId") ?? "*"):\(accountID):\(kind)/\(parameter.flatMap(parameters.text) ?? "*")"
    }
}
