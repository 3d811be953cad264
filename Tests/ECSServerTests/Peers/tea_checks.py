"""What the vendor's newer client does with the gateway at HOST, with V3 of the signature and with V1.0."""
import os
import unittest

from alibabacloud_ecs20140526 import models
from alibabacloud_ecs20140526.client import Client
from alibabacloud_sts20150401 import models as sts_models
from alibabacloud_sts20150401.client import Client as STSClient
from alibabacloud_tea_openapi import exceptions, utils_models
from alibabacloud_tea_openapi.client import Client as PlainClient
from darabonba.runtime import RuntimeOptions

HOST = os.environ['HOST']


class Checks:
    """Run once for each version of the signature."""

    algorithm = None

    def config(self, key='AKID', secret='top-secret', token=None, host=HOST):
        return utils_models.Config(
            access_key_id=key, access_key_secret=secret, security_token=token, region_id='cn-hangzhou', endpoint=host,
            protocol='http', signature_algorithm=self.algorithm, read_timeout=60000, connect_timeout=60000)

    def client(self, *arguments, **more):
        return Client(self.config(*arguments, **more))

    def refused(self, status, code, call, *arguments):
        with self.assertRaises(exceptions.AlibabaCloudException) as caught:
            call(*arguments)
        error = caught.exception
        self.assertEqual((error.status_code, error.code), (status, code), error)
        self.assertRegex(error.data['RequestId'], '^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$')
        return error

    regions = models.DescribeRegionsRequest()

    def test_an_export_is_answered(self):
        body = self.client().export_image(models.ExportImageRequest(
            region_id='cn-hangzhou', image_id='m-1 +&*~雪', ossbucket='bkt', dry_run=True)).body
        self.assertEqual((body.task_id, body.region_id), ('tsk-1', 'cn-hangzhou'))

    def test_lists_arrive(self):
        body = self.client().describe_tasks(models.DescribeTasksRequest(region_id='cn-hangzhou')).body
        self.assertEqual([one.task_id for one in body.task_set.task], ['tsk-1', 'tsk-2'])
        self.assertEqual(body.total_count, 2)
        region = self.client().describe_regions(self.regions).body.regions.region[0]
        self.assertEqual((region.region_id, region.local_name), ('cn-hangzhou', '杭州 <&>'))

    def test_a_role_is_assumed_and_its_key_used(self):
        got = STSClient(self.config()).assume_role(sts_models.AssumeRoleRequest(
            role_arn='acs:ram::1:role/r', role_session_name='s')).body.credentials
        key = (got.access_key_id, got.access_key_secret, got.security_token)
        self.client(*key).describe_regions(self.regions)
        self.refused(400, 'InvalidSecurityToken.MismatchWithAccessKey',
                     self.client(key[0], key[1], 'other').describe_regions, self.regions)
        self.refused(400, 'InvalidSecurityToken.Expired',
                     self.client('STS.2', 'old-secret', 'CAIS-old').describe_regions, self.regions)

    def test_failures_are_exceptions(self):
        error = self.refused(403, 'InvalidTaskId.IncorrectTaskStatus', self.client().cancel_task,
                             models.CancelTaskRequest(region_id='cn-hangzhou', task_id='tsk-1'))
        self.assertIsInstance(error, exceptions.ClientException)
        self.assertIn('InvalidTaskId.IncorrectTaskStatus', error.data['Recommend'])
        self.refused(500, 'InternalError', self.client().describe_images,
                     models.DescribeImagesRequest(region_id='cn-hangzhou'))
        for key, code, status in (('NOBODY', 'InvalidAccessKeyId.NotFound', 404),
                                  ('DISABLED', 'InvalidAccessKeyId.Inactive', 400)):
            self.refused(status, code, self.client(key).describe_regions, self.regions)
        self.refused(400, 'SignatureDoesNotMatch', self.client(secret='guess').describe_regions, self.regions)
        self.refused(400, 'InvalidTimeStamp.Expired',
                     self.client(host=os.environ['SKEWED_HOST']).describe_regions, self.regions)

    def test_parameters_in_a_form_are_signed(self):
        params = utils_models.Params(
            action='ExportImage', version='2014-05-26', protocol='HTTP', pathname='/', method='POST', auth_type='AK',
            style='RPC', req_body_type='formData', body_type='json')
        request = utils_models.OpenApiRequest(query={'RegionId': 'a b'}, body={'ImageId': 'm-1 +&*~雪'})
        answer = PlainClient(self.config()).call_api(params, request, RuntimeOptions())
        self.assertEqual(answer['body']['TaskId'], 'tsk-1')


class Version3(Checks, unittest.TestCase):
    def test_too_many_requests_are_refused(self):
        client = self.client(host=os.environ['THROTTLED_HOST'])
        for _ in range(2):
            client.describe_regions(self.regions)
        error = self.refused(400, 'Throttling.User', client.describe_regions, self.regions)
        self.assertIsInstance(error, exceptions.ThrottlingException)
        self.assertEqual(error.retry_after, 1000)


class Version1(Checks, unittest.TestCase):
    algorithm = 'v2'


unittest.main()
