"""Every error of the ExportImage page, and the gateway's own, as the vendor's SDKs raise them, each from a state that is so."""
import os
import re
import unittest

import oss2

import rpc
from clients import KINDS, Refused, client, wait_for
from service import BUCKET, REGION, Service, content, run

ROLE = 'AliyunECSImageExportDefaultRole'
ACTIONS = ['oss:GetObject', 'oss:PutObject', 'oss:DeleteObject', 'oss:GetBucketLocation', 'oss:GetBucketInfo',
           'oss:AbortMultipartUpload', 'oss:ListMultipartUploads', 'oss:ListParts']
ECS = {'Service': ['ecs.aliyuncs.com']}

# Code, status, and a pattern of the message: the page's own text, or what stands for its %s.
PAGE = {
    'InvalidImageName.Malformed': (400, r'The specified Image name is wrongly formed\.'),
    'InvalidOSSPrefix.Malformed': (400, r'The specified OSSPrefix format is wrongly formed\.'),
    'InvalidRegionId.NotFound': (400, r'The specified RegionId does not exist\.'),
    'InvalidRegion.NotSupport': (400, r'The specified region does not support image import or export\.'),
    'IncorrectImageStatus': (400, r'The specified Image is not available\.'),
    'InvalidImageFormat.Malformed': (400, r'The specified Image Format is wrongly formed\.'),
    'InvalidOSSBucket.NotFound': (400, r'The specified OSS bucket does not exist in this region\.'),
    'OperationDenied': (400, r'The specified image contains the snapshot of the data disk,does not support this operation\.'),
    'InvalidImage.DiskAmountOrSize': (400, r'.*(at most 4|500).*'),
    'InvalidOSSBucket.NotMatched': (400, r'The specified OSS bucket is incorrect, .+\.'),
    'ImageIsExporting': (403, r'The specified Image is exporting\.'),
    'ExportImageFailed': (403, r'Exporting image is failed, Please contact the administrator\.'),
    'UserNotInTheWhiteList': (403, r'The user is not in the white list of exporting image\.'),
    'NoSetRoletoECSServiceAcount': (403, r'ECS service account Have no right to access your OSS\.please attach a role of access your oss to ECS service account\.'),
    'ConcurrentQuotaExceed.ExportImage': (403, r'.*\d.*'),
    'WeeklyQuotaExceed.ExportImage': (403, r'.*\d.*'),
    'InvalidImageLicense.NotSupported': (403, r'.*the licence forbids it.*'),
    'InvalidOSSBucket.EncryptUnsupported': (403, r'Accessing objects from encrypted OSS bucket is not supported\.'),
    'InvalidImageId.NotFound': (404, r'The specified ImageId does not exist\.'),
}
ENCRYPTED = (400, r'The specified Image contains encrypted snapshots, do not support export\.')
MARKET = (403, r'The specified image from the image market, do not support export image\.')


class Errors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service()
        cls.addClassCleanup(cls.service.close)
        cls.disk = os.path.join(cls.service.folder, 'disk.raw')
        with open(cls.disk, 'wb') as file:
            file.write(content(1 << 20, 1))
        cls.image = cls.service.add_image('good', cls.disk)
        cls.apis = {kind: cls.service.client(kind) for kind in KINDS}
        cls.seen = set()

    @classmethod
    def tearDownClass(cls):
        # All of them ran: then each code of the page has been raised.
        if len(cls.seen) > 1 and os.environ.get('LATHE_WHOLE') == '1':
            missing = set(PAGE) - cls.seen
            assert not missing, missing

    def refused(self, code, expected=None, action='ExportImage', apis=None, **parameters):
        """Wants every SDK to raise a code, with its status and message and the ID of a request."""
        status, pattern = expected or PAGE[code]
        if action == 'ExportImage':
            parameters = dict({'RegionId': REGION, 'ImageId': self.image, 'OSSBucket': BUCKET}, **parameters)
        for kind, api in (apis or self.apis).items():
            with self.subTest(kind), self.assertRaises(Refused) as caught:
                api.call(action, **{name: value for name, value in parameters.items() if value is not None})
            error = caught.exception
            self.assertEqual((error.status, error.code), (status, code), error)
            # The newer SDK writes "code: 400, … request id: …" around the message.
            self.assertRegex(error.message, pattern)
            self.assertRegex(error.request, r'^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$')
        self.seen.add(code)

    def passes(self, **parameters):
        """Wants the same request to be fine, but for what is wrong in `refused`."""
        parameters = dict({'RegionId': REGION, 'ImageId': self.image, 'OSSBucket': BUCKET}, **parameters)
        with self.assertRaises(Refused) as caught:
            self.apis['core'].call('ExportImage', DryRun=True, **parameters)
        self.assertEqual(caught.exception.code, 'DryRunOperation', caught.exception)

    # What the request itself says

    def test_a_dry_run_that_passes(self):
        self.refused('DryRunOperation', (400, r'Request validation has been passed with DryRun flag set\.'), DryRun=True)
        self.assertEqual(self.apis['tea'].call('DescribeTasks', RegionId=REGION)['TaskSet']['Task'].count(None), 0)

    def test_prefix(self):
        for prefix in ('a_b', 'a' * 31, 'ü', 'a/b', '..', ' '):
            self.refused('InvalidOSSPrefix.Malformed', OSSPrefix=prefix)
        self.passes(OSSPrefix='a' * 30)

    def test_format(self):
        for format in ('iso', 'QCOW', 'raw '):
            self.refused('InvalidImageFormat.Malformed', ImageFormat=format)

    def test_region_that_is_not_there(self):
        self.refused('InvalidRegionId.NotFound', RegionId='moon-1')
        self.refused('InvalidRegionId.NotFound', action='DescribeTasks', RegionId='moon-1')

    def test_region_without_exports(self):
        self.service.add_region('cn-nowhere', supports=False)
        self.refused('InvalidRegion.NotSupport', RegionId='cn-nowhere')

    def test_image_that_is_not_there(self):
        self.refused('InvalidImageId.NotFound', ImageId='m-aaaaaaaaaaaaaaaaaaaa')
        self.refused('InvalidImageId.NotFound', ImageId='nonsense')

    def test_name_of_an_image(self):
        for name in ('1x', 'a', 'acs:x', 'aliyun-x', 'http://x', 'x' * 129, 'a b'):
            self.refused('InvalidImageName.Malformed', action='ImportImage', RegionId=REGION, ImageName=name,
                         DiskDeviceMapping=[{'OSSBucket': BUCKET, 'OSSObject': 'nothing'}])

    # What the image is

    def test_state_of_an_image(self):
        image = self.service.add_image('creating', self.disk)
        for status in ('Creating', 'UnAvailable', 'Deprecated'):
            self.service.set_image(image, status=status)
            self.refused('IncorrectImageStatus', ImageId=image)
        self.service.set_image(image, status='Available')
        self.passes(ImageId=image)

    def test_data_disks_that_an_account_does_not_export(self):
        image = self.service.add_image('data', self.disk, data=[self.disk])
        self.passes(ImageId=image)
        self.service.set_account(data_disks=False)
        try:
            self.refused('OperationDenied', ImageId=image)
            self.passes()
        finally:
            self.service.set_account(data_disks=True)

    def test_disks_that_are_too_many_or_too_large(self):
        five = self.service.add_image('five', self.disk, data=[self.disk] * 5)
        self.refused('InvalidImage.DiskAmountOrSize', ImageId=five)
        self.passes(ImageId=self.service.add_image('four', self.disk, data=[self.disk] * 4))
        for size, gibibytes in (('large', 501), ('fitting', 500)):
            path = os.path.join(self.service.folder, size + '.qcow2')
            run('qemu-img', 'create', '-f', 'qcow2', path, '%dG' % gibibytes)
            image = self.service.add_image(size, self.disk, data=[path])
            if gibibytes > 500:
                self.refused('InvalidImage.DiskAmountOrSize', ImageId=image)
            else:
                self.passes(ImageId=image)

    def test_encryption_of_an_image(self):
        image = self.service.add_image('encrypted', self.disk)
        self.service.set_image(image, encrypted=True)
        self.refused('ImageNotSupported', ENCRYPTED, ImageId=image)

    def test_image_of_the_marketplace(self):
        image = self.service.add_image('market', self.disk)
        self.service.set_image(image, product='cmjj000001')
        self.refused('ImageNotSupported', MARKET, ImageId=image)

    def test_licence_of_an_image(self):
        image = self.service.add_image('licensed', self.disk)
        self.service.set_image(image, licence='the licence forbids it')
        self.refused('InvalidImageLicense.NotSupported', ImageId=image)

    def test_image_whose_file_is_gone(self):
        path = os.path.join(self.service.folder, 'gone.raw')
        with open(path, 'wb') as file:
            file.write(content(1 << 20, 2))
        image = self.service.add_image('gone', path)
        self.passes(ImageId=image)
        os.unlink(path)
        self.refused('ExportImageFailed', ImageId=image)

    # What the bucket is

    def test_bucket_that_is_not_there(self):
        self.refused('InvalidOSSBucket.NotFound', OSSBucket='no-such-bucket')

    def test_bucket_of_another_region(self):
        self.service.add_region('eu-central-1')
        self.service.add_bucket('elsewhere', region='eu-central-1')
        self.refused('InvalidOSSBucket.NotFound', OSSBucket='elsewhere')

    def test_bucket_that_can_not_take_it(self):
        for name in ('Bad_Name', 'a', '-x-', '../x'):
            self.refused('InvalidOSSBucket.NotMatched', OSSBucket=name)
        self.service.make_bucket('coldstore', 'Archive')
        self.refused('InvalidOSSBucket.NotMatched', OSSBucket='coldstore')

    def test_bucket_that_encrypts(self):
        for name, kind in (('secret-kms', 'KMS'), ('secret-aes', 'AES256')):
            self.service.add_bucket(name)
            self.passes(OSSBucket=name)
            self.service.encrypt(name, kind)
            self.refused('InvalidOSSBucket.EncryptUnsupported', OSSBucket=name)

    # Who asks, and for how much

    def test_user_who_is_not_on_the_white_list(self):
        self.service.set_account(may_export=False)
        try:
            self.refused('UserNotInTheWhiteList')
        finally:
            self.service.set_account(may_export=True)

    def test_role_that_does_not_do(self):
        self.refused('NoSetRoletoECSServiceAcount', RoleName='NoSuchRole')
        self.service.add_role('Untrusting', trust={'Service': ['fc.aliyuncs.com']}, allow=ACTIONS)
        self.refused('NoSetRoletoECSServiceAcount', RoleName='Untrusting')
        for index, action in enumerate(ACTIONS):
            self.service.add_role('Lacking%d' % index, trust=ECS, allow=[one for one in ACTIONS if one != action])
            self.refused('NoSetRoletoECSServiceAcount', RoleName='Lacking%d' % index, apis={'core': self.apis['core']})
        self.service.add_role('Elsewhere', trust=ECS, allow=ACTIONS, resource=['acs:oss:*:*:other', 'acs:oss:*:*:other/*'])
        self.refused('NoSetRoletoECSServiceAcount', RoleName='Elsewhere')
        self.service.add_role('Denied', trust=ECS, allow=['oss:*'], deny=['oss:Put*'])
        self.refused('NoSetRoletoECSServiceAcount', RoleName='Denied')
        self.service.add_role('Narrow', trust=ECS, allow=ACTIONS, resource=['acs:oss:*:%s:%s' % (self.service.account, BUCKET), 'acs:oss:*:*:%s/*' % BUCKET])
        self.passes(RoleName='Narrow')

    def test_an_export_at_a_time_of_an_image(self):
        image = self.service.add_image('slow', self.service.slow_disk())
        task = self.apis['core'].call('ExportImage', RegionId=REGION, ImageId=image, OSSBucket=BUCKET, ImageFormat='raw')['TaskId']
        self.refused('ImageIsExporting', ImageId=image)
        self.apis['core'].call('CancelTask', RegionId=REGION, TaskId=task)
        self.service.ended(self.apis['core'], task)
        self.passes(ImageId=image)

    def test_quota_of_exports_at_a_time(self):
        image = self.service.add_image('slow-quota', self.service.slow_disk())
        self.service.set_account(concurrent=1)
        try:
            task = self.apis['core'].call('ExportImage', RegionId=REGION, ImageId=image, OSSBucket=BUCKET, ImageFormat='raw')['TaskId']
            self.refused('ConcurrentQuotaExceed.ExportImage')
            self.apis['core'].call('CancelTask', RegionId=REGION, TaskId=task)
            self.service.ended(self.apis['core'], task)
            self.passes()
        finally:
            self.service.set_account(concurrent=100)

    def test_quota_of_a_week(self):
        self.service.set_account(weekly=0)
        try:
            self.refused('WeeklyQuotaExceed.ExportImage')
        finally:
            self.service.set_account(weekly=10_000)

    # What the gateway says

    def test_what_is_missing(self):
        for name in ('RegionId', 'ImageId', 'OSSBucket'):
            parameters = {'RegionId': REGION, 'ImageId': self.image, 'OSSBucket': BUCKET}
            del parameters[name]
            answer = self.service.answer('ExportImage', **parameters)
            self.assertEqual((answer.status, answer.code), (400, 'MissingParameter'), answer)
            self.assertIn(name, answer.json['Message'])
        self.refused('MissingParameter', (400, 'ImageId'), apis={'core': self.apis['core'], 'tea': self.apis['tea']}, ImageId=None)

    def test_signatures_and_keys(self):
        service = self.service
        wrong = {kind: client(kind, service.endpoint, service.key, 'wrong') for kind in KINDS}
        # The older SDK sees from the answer that its own string was signed, and tells that the secret is wrong.
        self.refused('InvalidAccessKeySecret', (400, '.'), 'DescribeRegions', {'core': wrong.pop('core')})
        self.refused('SignatureDoesNotMatch', (400, 'signature'), 'DescribeRegions', wrong)
        unknown = {kind: client(kind, service.endpoint, 'LTAInobody', service.secret) for kind in KINDS}
        self.refused('InvalidAccessKeyId.NotFound', (404, 'key'), 'DescribeRegions', unknown)

    def test_an_action_that_is_not_there(self):
        answer = self.service.answer('MakeCoffee')
        self.assertEqual((answer.status, answer.code), (404, 'InvalidAction.NotFound'), answer)

    def test_tasks_that_are_not_there(self):
        self.refused('InvalidTaskId.NotFound', (400, r'The specified "TaskId" is not found\.'), 'CancelTask', RegionId=REGION, TaskId='tsk-aaaaaaaaaaaaaaaaaaaa')

    def test_an_error_in_xml(self):
        """What a client gets that asks for nothing else: XML, with the parts that the reference names."""
        parameters = rpc.v1(self.service.key, self.service.secret, 'ExportImage', {'RegionId': REGION, 'ImageId': 'm-<&>', 'OSSBucket': BUCKET, 'Format': 'XML'})
        signed = dict(parameters, Format='XML')
        del signed['Signature']
        import base64, hashlib, hmac, urllib.parse
        string = 'GET&%2F&' + rpc.percent(rpc.canonical(signed))
        signed['Signature'] = base64.b64encode(hmac.new((self.service.secret + '&').encode(), string.encode(), hashlib.sha1).digest()).decode()
        answer = rpc.send(self.service.endpoint, 'GET', '/?' + urllib.parse.urlencode(signed))
        self.assertEqual(answer.status, 404)
        self.assertEqual(answer.headers['content-type'], 'text/xml;charset=utf-8')
        text = answer.body.decode()
        for name in ('RequestId', 'HostId', 'Code', 'Message'):
            self.assertEqual(len(re.findall('<%s>[^<]+</%s>' % (name, name), text)), 1, text)
        self.assertIn('<Code>InvalidImageId.NotFound</Code>', text)
        self.assertTrue(re.match(r'(<\?xml[^>]*\?>\s*)?<Error>', text), text)


class Throttling(unittest.TestCase):
    def test_requests_that_come_too_fast(self):
        with Service('--requests-per-second', '2') as service:
            codes = []
            for _ in range(30):
                answer = service.answer('DescribeRegions')
                codes.append((answer.status, answer.code))
            self.assertIn((200, None), codes)
            self.assertIn((400, 'Throttling.User'), codes)
            api = service.client('tea')
            with self.assertRaises(Refused) as caught:
                for _ in range(30):
                    api.call('DescribeRegions')
            self.assertEqual(caught.exception.code, 'Throttling.User')


if __name__ == '__main__':
    unittest.main()
