"""The whole story with the vendor's SDKs: an image is registered, exported, watched, fetched, and found to be what it was."""
import hashlib
import os
import re
import tarfile
import tempfile
import unittest

import oss2

from clients import KINDS, Refused, bucket, client, wait_for
from service import BUCKET, EXTENSIONS, FORMATS, QEMU_NAMES, REGION, Service, content, run

STAMP = r'^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?Z$'


class Story(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service()
        cls.addClassCleanup(cls.service.close)
        cls.disk = os.path.join(cls.service.folder, 'disk.raw')
        with open(cls.disk, 'wb') as file:
            file.write(content((6 << 20) + 512, 1))
        cls.qcow2 = os.path.join(cls.service.folder, 'disk.qcow2')
        run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', cls.disk, cls.qcow2)
        cls.image = cls.service.add_image('web-server', cls.qcow2)
        cls.bucket = cls.service.oss()

    def clients(self):
        return [(kind, self.service.client(kind)) for kind in KINDS]

    def remove(self, prefix):
        """Takes objects away: an export replaces none."""
        for one in oss2.ObjectIterator(self.bucket, prefix=prefix):
            self.bucket.delete_object(one.key)

    def finished(self, api, task):
        """Waits for the end of a task and answers all that is known of it; percent only ever grow."""
        seen = []

        def look():
            one = api.call('DescribeTaskAttribute', RegionId=REGION, TaskId=task)
            seen.append(int(re.fullmatch(r'(\d+)%', one['TaskProcess'])[1]))
            return one if one['TaskStatus'] not in ('Waiting', 'Processing') else None
        one = wait_for(look, what='the end of the task')
        self.assertEqual(one['TaskStatus'], 'Finished', one)
        self.assertEqual(seen, sorted(seen))
        self.assertEqual(seen[-1], 100)
        return one

    def fetched(self, key, folder):
        """Downloads an object and its manifest, and has `lathe verify` prove the one by the other."""
        path, manifest = os.path.join(folder, key), os.path.join(folder, key + '.manifest.json')
        self.bucket.get_object_to_file(key, path)
        self.bucket.get_object_to_file(key + '.manifest.json', manifest)
        run(os.environ['LATHE'], 'verify', '--manifest', manifest, path)
        return path

    def compare(self, path, format, source, source_format='raw'):
        run('qemu-img', 'compare', '-f', source_format, '-F', QEMU_NAMES.get(format, format), source, path)

    def test_every_format_by_every_client(self):
        for kind, api in self.clients():
            for format in FORMATS:
                with self.subTest(format=format), tempfile.TemporaryDirectory() as folder:
                    prefix = (kind + format).replace('-', '')
                    answer = api.call('ExportImage', RegionId=REGION, ImageId=self.image, OSSBucket=BUCKET, OSSPrefix=prefix, ImageFormat=format)
                    self.assertEqual(answer['RegionId'], REGION)
                    self.assertRegex(answer['RequestId'], r'^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$')
                    self.assertRegex(answer['TaskId'], r'^tsk-[a-z0-9]{20}$')
                    one = self.finished(api, answer['TaskId'])
                    key = '%s_%s_system.%s' % (prefix, self.image, EXTENSIONS[format])
                    self.check_attribute(one, answer['TaskId'], key, format)
                    path = self.fetched(key, folder)
                    if format == 'raw':
                        with tarfile.open(path) as archive:
                            self.assertEqual(len(archive.getnames()), 1)
                        run('tar', '-xzf', path, '-C', folder)
                        os.unlink(path)
                        path = os.path.join(folder, next(name for name in os.listdir(folder) if not name.endswith('.json')))
                    self.compare(path, format, self.disk)

    def check_attribute(self, one, task, key, format):
        self.assertEqual(
            (one['TaskId'], one['TaskAction'], one['RegionId'], one['TaskProcess'], str(one['SupportCancel']).lower()),
            (task, 'ExportImage', REGION, '100%', 'false'))
        self.assertEqual([int(one[name]) for name in ('TotalCount', 'SuccessCount', 'FailedCount')], [1, 1, 0])
        self.assertRegex(one['CreationTime'], STAMP)
        self.assertRegex(one['FinishedTime'], STAMP)
        step, = one['OperationProgressSet']['OperationProgress']
        self.assertEqual(step['OperationStatus'], 'Success')
        related = {item['Name']: item['Value'] for item in step['RelatedItemSet']['RelatedItem']}
        self.assertEqual(related, {'OSSBucket': BUCKET, 'OSSObject': key, 'ImageFormat': format})

    def test_the_defaults_are_raw_and_no_prefix(self):
        image = self.service.add_image('defaults', self.disk)
        for kind, api in self.clients():
            self.remove(image)
            answer = api.call('ExportImage', RegionId=REGION, ImageId=image, OSSBucket=BUCKET)
            self.finished(api, answer['TaskId'])
            self.assertTrue(self.bucket.object_exists(image + '_system.raw.tar.gz'))

    def test_the_same_export_is_the_same_bytes(self):
        digests = set()
        for kind, api in self.clients():
            self.remove('same_')
            self.finished(api, api.call('ExportImage', RegionId=REGION, ImageId=self.image, OSSBucket=BUCKET, OSSPrefix='same', ImageFormat='qcow2')['TaskId'])
            digests.add(hashlib.sha256(self.bucket.get_object('same_%s_system.qcow2' % self.image).read()).hexdigest())
        offline = os.path.join(self.service.folder, 'offline.qcow2')
        run(os.environ['LATHE'], 'convert', '-f', 'qcow2', '-O', 'qcow2', self.qcow2, offline)
        with open(offline, 'rb') as file:
            self.assertEqual(digests, {hashlib.sha256(file.read()).hexdigest()})

    def test_an_object_that_is_there_is_not_replaced(self):
        key = 'taken_%s_system.vdi' % self.image
        self.bucket.put_object(key, b'somebody\'s own')
        api = self.service.client('tea')
        task = api.call('ExportImage', RegionId=REGION, ImageId=self.image, OSSBucket=BUCKET, OSSPrefix='taken', ImageFormat='vdi')['TaskId']
        one = self.service.ended(api, task)
        step, = one['OperationProgressSet']['OperationProgress']
        self.assertEqual((one['TaskStatus'], step['ErrorCode']), ('Failed', 'InvalidOSSObject.AlreadyExists'), one)
        self.assertEqual(self.bucket.get_object(key).read(), b'somebody\'s own')

    def test_an_image_of_several_disks_is_an_object_for_each(self):
        disks = []
        for index in range(3):
            disks.append(os.path.join(self.service.folder, 'several%d.raw' % index))
            with open(disks[-1], 'wb') as file:
                file.write(content(1 << 20, 10 + index))
        image = self.service.add_image('several', disks[0], data=disks[1:])
        for kind, api in self.clients():
            prefix = 'several' + kind.replace('-', '')
            answer = api.call('ExportImage', RegionId=REGION, ImageId=image, OSSBucket=BUCKET, OSSPrefix=prefix, ImageFormat='vhd')
            one = self.finished(api, answer['TaskId'])
            steps = one['OperationProgressSet']['OperationProgress']
            self.assertEqual([int(one[name]) for name in ('TotalCount', 'SuccessCount', 'FailedCount')], [3, 3, 0])
            keys = [item['Value'] for step in steps for item in step['RelatedItemSet']['RelatedItem'] if item['Name'] == 'OSSObject']
            self.assertEqual(keys, ['%s_%s_%s.vhd' % (prefix, image, disk) for disk in ('system', 'data_xvdb', 'data_xvdc')])
            with tempfile.TemporaryDirectory() as folder:
                for key, disk in zip(keys, disks):
                    self.compare(self.fetched(key, folder), 'vhd', disk)

    def test_images_and_regions_are_described(self):
        for kind, api in self.clients():
            regions = api.call('DescribeRegions')['Regions']['Region']
            self.assertIn(REGION, [one['RegionId'] for one in regions])
            answer = api.call('DescribeImages', RegionId=REGION, ImageId=self.image)
            image, = answer['Images']['Image']
            self.assertEqual((image['ImageName'], image['Status'], answer['TotalCount']), ('web-server', 'Available', 1))
            disk, = image['DiskDeviceMappings']['DiskDeviceMapping']
            self.assertEqual((disk['Device'], disk['Type']), ('/dev/xvda', 'system'))

    def test_tasks_are_described_in_pages_and_by_their_names(self):
        image = self.service.add_image('pages', self.disk)
        api = self.service.client('tea')
        tasks = []
        for index in range(3):
            tasks.append(api.call('ExportImage', RegionId=REGION, ImageId=image, OSSBucket=BUCKET, OSSPrefix='page%d' % index, ImageFormat='vdi')['TaskId'])
            self.finished(api, tasks[-1])
        for kind, api in self.clients():
            answer = api.call('DescribeTasks', RegionId=REGION, TaskIds=','.join(tasks))
            self.assertEqual((answer['TotalCount'], answer['PageNumber'], answer['PageSize']), (3, 1, 10))
            found = answer['TaskSet']['Task']
            self.assertEqual({one['TaskId'] for one in found}, set(tasks))
            for one in found:
                self.assertEqual((one['TaskAction'], one['TaskStatus'], str(one['SupportCancel']).lower(), one['ResourceId']), ('ExportImage', 'Finished', 'false', image))
                self.assertRegex(one['CreationTime'], STAMP)
                self.assertRegex(one['FinishedTime'], STAMP)
            pages = [api.call('DescribeTasks', RegionId=REGION, TaskIds=','.join(tasks), PageNumber=page, PageSize=2)['TaskSet']['Task'] for page in (1, 2, 3)]
            self.assertEqual([len(page) for page in pages], [2, 1, 0])
            self.assertEqual({one['TaskId'] for page in pages for one in page}, set(tasks))
            self.assertEqual(api.call('DescribeTasks', RegionId=REGION, TaskIds=','.join(tasks), TaskStatus='Failed')['TotalCount'], 0)
            self.assertEqual(api.call('DescribeTasks', RegionId=REGION, TaskIds=','.join(tasks), TaskAction='ImportImage')['TotalCount'], 0)

    def test_what_is_cancelled_leaves_nothing(self):
        image = self.service.add_image('cancelled', self.service.slow_disk())
        for kind, api in self.clients():
            prefix = 'cancel' + kind.replace('-', '')
            task = api.call('ExportImage', RegionId=REGION, ImageId=image, OSSBucket=BUCKET, OSSPrefix=prefix, ImageFormat='raw')['TaskId']
            one = api.call('DescribeTaskAttribute', RegionId=REGION, TaskId=task)
            self.assertEqual(str(one['SupportCancel']).lower(), 'true')
            api.call('CancelTask', RegionId=REGION, TaskId=task)
            self.assertEqual(self.service.ended(api, task)['TaskStatus'], 'Deleted')
            self.assertEqual([one.key for one in oss2.ObjectIterator(self.bucket, prefix=prefix)], [])
            self.assertEqual([one.key for one in oss2.MultipartUploadIterator(self.bucket, prefix=prefix)], [])
            with self.assertRaises(Refused) as caught:
                api.call('CancelTask', RegionId=REGION, TaskId=task)
            self.assertEqual((caught.exception.status, caught.exception.code), (403, 'InvalidTaskId.IncorrectTaskStatus'))
        self.assertEqual(os.listdir(os.path.join(self.service.data, 'checkpoints')), [])

    def test_what_was_exported_is_imported_again(self):
        for kind, api in self.clients():
            prefix = 'again' + kind.replace('-', '')
            self.finished(api, api.call('ExportImage', RegionId=REGION, ImageId=self.image, OSSBucket=BUCKET, OSSPrefix=prefix, ImageFormat='qcow2')['TaskId'])
            key = '%s_%s_system.qcow2' % (prefix, self.image)
            answer = api.call('ImportImage', RegionId=REGION, ImageName='import-' + prefix, DiskDeviceMapping=[{'Format': 'QCOW2', 'OSSBucket': BUCKET, 'OSSObject': key}])
            self.assertRegex(answer['ImageId'], r'^m-[a-z0-9]{20}$')
            one = self.finished(api, answer['TaskId'])
            self.assertEqual(one['TaskAction'], 'ImportImage')
            image, = api.call('DescribeImages', RegionId=REGION, ImageId=answer['ImageId'])['Images']['Image']
            self.assertEqual((image['Status'], image['ImageName']), ('Available', 'import-' + prefix))
            # And out of it once more: the disk is still the one that it was.
            self.finished(api, api.call('ExportImage', RegionId=REGION, ImageId=answer['ImageId'], OSSBucket=BUCKET, ImageFormat='vdi')['TaskId'])
            with tempfile.TemporaryDirectory() as folder:
                self.compare(self.fetched('%s_system.vdi' % answer['ImageId'], folder), 'vdi', self.disk)

    def test_a_session_of_a_role_exports_as_its_account(self):
        self.service.add_role('Exporter', trust={'RAM': ['acs:ram::%s:root' % self.service.account]}, allow=['ecs:*', 'oss:*'])
        for kind, api in self.clients():
            answer = api.assume_role('acs:ram::%s:role/Exporter' % self.service.account, 'nightly')
            self.assertRegex(answer['AssumedRoleUser']['Arn'], r'^acs:ram::\d{16}:role/Exporter/nightly$')
            credentials = answer['Credentials']
            self.assertRegex(credentials['Expiration'], STAMP)
            key, secret, token = (credentials[name] for name in ('AccessKeyId', 'AccessKeySecret', 'SecurityToken'))
            session = client(kind, self.service.endpoint, key, secret, token)
            task = session.call('ExportImage', RegionId=REGION, ImageId=self.image, OSSBucket=BUCKET, OSSPrefix='session' + kind.replace('-', ''), ImageFormat='vhd')['TaskId']
            self.finished(session, task)
            theirs = bucket(self.service.oss_endpoint, key, secret, BUCKET, token)
            self.assertTrue(theirs.object_exists('session%s_%s_system.vhd' % (kind.replace('-', ''), self.image)))
            with self.assertRaises(Refused) as caught:
                client(kind, self.service.endpoint, key, secret, 'not-' + token).call('DescribeRegions')
            self.assertIn(caught.exception.status, (400, 403))
            with self.assertRaises(Refused) as caught:
                client(kind, self.service.endpoint, key, secret).call('DescribeRegions')
            self.assertIn(caught.exception.status, (400, 403))

    def test_objects_are_listed_and_verified(self):
        image = self.service.add_image('verified', self.disk)
        api = self.service.client('tea')
        task = api.call('ExportImage', RegionId=REGION, ImageId=image, OSSBucket=BUCKET, ImageFormat='qcow2')['TaskId']
        self.finished(api, task)
        key = image + '_system.qcow2'
        listed = self.service.call('DescribeExportedObjects', RegionId=REGION, TaskId=task)
        one, = listed['Objects']['Object']
        head = self.bucket.head_object(key)
        self.assertEqual((one['OSSObject'], one['CRC64'], int(one['Length'])), (key, str(head.server_crc), head.content_length))
        digest = run(os.environ['LATHE'], 'digest', '-f', 'raw', self.disk).stdout
        self.assertIn(one['Fingerprint'], digest)
        self.assertEqual(self.verified(task, key)['Status'], 'Verified')
        # One bit of it falls over.
        path = os.path.join(self.service.data, 'objects', BUCKET, key)
        with open(path, 'r+b') as file:
            file.seek(300 << 10)
            byte = file.read(1)[0]
            file.seek(300 << 10)
            file.write(bytes([byte ^ 1]))
        answer = self.verified(task, key)
        self.assertEqual(answer['Status'], 'Failed')
        self.assertTrue(answer['Message'])
        self.assertNotIn(self.service.folder, answer['Message'])

    def verified(self, task, key):
        """What a verification that begins now comes to."""
        self.service.call('VerifyExportedObject', RegionId=REGION, TaskId=task, OSSObject=key, Restart='true')

        def look():
            answer = self.service.call('VerifyExportedObject', RegionId=REGION, TaskId=task, OSSObject=key)
            return answer if answer['Status'] != 'Verifying' else None
        return wait_for(look, what='the end of the verification')


if __name__ == '__main__':
    unittest.main()
