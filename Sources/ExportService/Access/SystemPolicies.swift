/// What the vendor gives every account (ECS, "ExportImage").
package enum SystemPolicies {
    package static let exportRole = "AliyunECSImageExportDefaultRole"
    package static let exportPolicy = "AliyunECSImageExportRolePolicy"

    /// Lets ECS assume a role.
    package static let trustOfECS = """
        {"Statement":[{"Action":"sts:AssumeRole","Effect":"Allow","Principal":{"Service":["ecs.aliyuncs.com"]}}],"Version":"1"}
        """

    /// By their names.
    static let documents = [
        exportPolicy: """
        {"Version":"1","Statement":[{"Action":["oss:GetObject","oss:PutObject","oss:DeleteObject","oss:GetBucketLocation",\
        "oss:GetBucketInfo","oss:AbortMultipartUpload","oss:ListMultipartUploads","oss:ListParts"],"Resource":"*",\
        "Effect":"Allow"}]}
        """
    ]
}
