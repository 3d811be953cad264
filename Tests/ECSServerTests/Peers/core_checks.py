"""What the vendor's older client, which signs with V1.0, does with the gateway at HOST."""
import json
import os
import unittest
import xml.etree.ElementTree as ElementTree

from aliyunsdkcore.acs_exception.exceptions import ServerException
from aliyunsdkcore.auth.credentials import StsTokenCredential
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import CommonRequest
from aliyunsdkecs.request.v20140526.CancelTaskRequest import CancelTaskRequest
from aliyunsdkecs.request.v20140526.DescribeImagesRequest import DescribeImagesRequest
from aliyunsdkecs.request.v20140526.DescribeRegionsRequest import DescribeRegionsRequest
from aliyunsdkecs.request.v20140526.DescribeTasksRequest import DescribeTasksRequest
from aliyunsdkecs.request.v20140526.ExportImageRequest import ExportImageRequest

HOST = os.environ['HOST']


def client(key='AKID', secret='top-secret', token=None):
    if token:
        return AcsClient(region_id='cn-hangzhou', credential=StsTokenCredential(key, secret, token), auto_retry=False)
    return AcsClient(key, secret, 'cn-hangzhou', auto_retry=False)


def ask(kind, host=HOST, who=None, method='POST'):
    request = kind() if isinstance(kind, type) else kind
    request.set_endpoint(host)
    request.set_protocol_type('http')
    request.set_method(method)
    return (who or client()).do_action_with_exception(request)


class Checks(unittest.TestCase):
    def refused(self, status, code, *arguments, **more):
        with self.assertRaises(ServerException) as caught:
            ask(*arguments, **more)
        error = caught.exception
        self.assertEqual((error.get_http_status(), error.get_error_code()), (status, code), error)
        self.assertRegex(error.get_request_id(), '^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$')
        return error

    def test_an_export_is_answered(self):
        for method in ('GET', 'POST'):
            request = ExportImageRequest()
            request.set_ImageId('m-1 +&雪')
            request.set_OSSBucket('bkt')
            request.set_DryRun(True)
            answer = json.loads(ask(request, method=method))
            self.assertEqual((answer['TaskId'], answer['ExportTaskId']), ('tsk-1', 'tsk-1'))

    def test_xml_is_answered_where_it_is_asked_for(self):
        request = DescribeTasksRequest()
        request.set_endpoint(HOST)
        request.set_protocol_type('http')
        request.set_accept_format('XML')
        # The call that raises exceptions asks for JSON, whatever the request says.
        status, headers, body = client().get_response(request)
        self.assertEqual((status, headers['Content-Type']), (200, 'text/xml;charset=utf-8'))
        root = ElementTree.fromstring(body)
        self.assertEqual(root.tag, 'DescribeTasksResponse')
        self.assertEqual([one.text for one in root.findall('TaskSet/Task/TaskId')], ['tsk-1', 'tsk-2'])

    def test_lists_and_texts_arrive(self):
        region = json.loads(ask(DescribeRegionsRequest))['Regions']['Region'][0]
        self.assertEqual((region['RegionId'], region['LocalName']), ('cn-hangzhou', '杭州 <&>'))

    def test_parameters_in_a_form_are_signed(self):
        request = CommonRequest(domain=HOST, version='2014-05-26', action_name='ExportImage')
        request.set_method('POST')
        request.set_protocol_type('http')
        request.add_body_params('ImageId', 'm-1 +&雪')
        self.assertEqual(json.loads(client().do_action_with_exception(request))['TaskId'], 'tsk-1')

    def test_a_token_comes_along(self):
        ask(DescribeRegionsRequest, who=client('STS.1', 'sts-secret', 'CAIS/+token='))
        self.refused(400, 'InvalidSecurityToken.MismatchWithAccessKey', DescribeRegionsRequest,
                     who=client('STS.1', 'sts-secret', 'other'))
        self.refused(400, 'MissingSecurityToken', DescribeRegionsRequest, who=client('STS.1', 'sts-secret'))
        self.refused(400, 'InvalidSecurityToken.Expired', DescribeRegionsRequest,
                     who=client('STS.2', 'old-secret', 'CAIS-old'))

    def test_failures_are_exceptions(self):
        self.refused(403, 'InvalidTaskId.IncorrectTaskStatus', CancelTaskRequest)
        self.refused(500, 'InternalError', DescribeImagesRequest)
        self.refused(404, 'InvalidAccessKeyId.NotFound', DescribeRegionsRequest, who=client('NOBODY'))
        self.refused(400, 'InvalidAccessKeyId.Inactive', DescribeRegionsRequest, who=client('DISABLED'))
        self.refused(400, 'InvalidTimeStamp.Expired', DescribeRegionsRequest, host=os.environ['SKEWED_HOST'])
        # What was to be signed is what the client had signed, from which it concludes that the secret is wrong.
        self.refused(400, 'InvalidAccessKeySecret', DescribeRegionsRequest, who=client(secret='guess'))

    def test_too_many_requests_are_refused(self):
        host = os.environ['THROTTLED_HOST']
        for _ in range(2):
            ask(DescribeRegionsRequest, host=host)
        self.refused(400, 'Throttling.User', DescribeRegionsRequest, host=host)


unittest.main()
