/// Programs that export an image, to be pasted as they are.
package struct ClientExamples: Sendable {
    package var setup: FirstSetup
    /// Where the API is: a host and a port.
    package var endpoint: String
    /// An image's id, or what stands for one.
    package var imageID: String

    package init(_ setup: FirstSetup, endpoint: String, imageID: String = "m-…") {
        self.setup = setup
        self.endpoint = endpoint
        self.imageID = imageID
    }

    /// That of the first start, or what stands for one.
    private var bucket: String { setup.bucket ?? "BUCKET" }

    /// For `aliyun-python-sdk-core` and `aliyun-python-sdk-ecs`.
    package var firstPythonSDK: String {
        """
        from aliyunsdkcore.client import AcsClient
        from aliyunsdkecs.request.v20140526.ExportImageRequest import ExportImageRequest
        client = AcsClient('\(setup.accessKeyID)', '\(setup.accessKeySecret)', '\(setup.regionID)')
        request = ExportImageRequest()
        request.set_endpoint('\(endpoint)')
        request.set_protocol_type('http')
        request.set_ImageId('\(imageID)')
        request.set_OSSBucket('\(bucket)')
        request.set_ImageFormat('qcow2')
        print(client.do_action_with_exception(request).decode())
        """
    }

    /// For `alibabacloud_ecs20140526`.
    package var secondPythonSDK: String {
        """
        from alibabacloud_ecs20140526 import models
        from alibabacloud_ecs20140526.client import Client
        from alibabacloud_tea_openapi import utils_models
        client = Client(utils_models.Config(
            access_key_id='\(setup.accessKeyID)', access_key_secret='\(setup.accessKeySecret)',
            region_id='\(setup.regionID)', endpoint='\(endpoint)', protocol='http'))
        print(client.export_image(models.ExportImageRequest(
            region_id='\(setup.regionID)', image_id='\(imageID)', ossbucket='\(bucket)',
            image_format='qcow2')).body)
        """
    }
}
