"""What the vendor's newer client does with the server; run with the version of the signature, 1 or 4, in VERSION."""
import base64
import datetime
import hashlib
import io
import os
import tempfile
import unittest

import alibabacloud_oss_v2 as oss
import requests

ENDPOINT, SKEWED = os.environ['ENDPOINT'], os.environ['SKEWED_ENDPOINT']
V4 = os.environ['VERSION'] == '4'
NAME = 'ossv2-v4' if V4 else 'ossv2-v1'


def client(id='test-id', secret='test-secret', token=None, endpoint=ENDPOINT, **more):
    config = oss.config.load_default()
    config.region = 'cn-hangzhou'
    config.endpoint = endpoint
    config.signature_version = 'v4' if V4 else 'v1'
    config.credentials_provider = (
        oss.credentials.StaticCredentialsProvider(id, secret, token) if id
        else oss.credentials.AnonymousCredentialsProvider())
    for name, value in more.items():
        setattr(config, name, value)
    return oss.Client(config)


class Checks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = client()
        cls.client.put_bucket(oss.PutBucketRequest(bucket=NAME))
        cls.folder = tempfile.mkdtemp()

    def refused(self, status, code, call, request, **more):
        with self.assertRaises(oss.exceptions.OperationError) as caught:
            call(request, **more)
        error = caught.exception.unwrap()
        self.assertIsInstance(error, oss.exceptions.ServiceError, error)
        self.assertEqual((error.status_code, error.code), (status, code), error)
        self.assertRegex(error.request_id, '^[0-9A-F]{24}$')
        return error

    def put(self, key, data, own=None, **more):
        return (own or self.client).put_object(oss.PutObjectRequest(bucket=NAME, key=key, body=data, **more))

    def get(self, key, own=None, **more):
        return (own or self.client).get_object(oss.GetObjectRequest(bucket=NAME, key=key, **more)).body.content

    def test_buckets(self):
        name = NAME + '-made'
        self.client.put_bucket(oss.PutBucketRequest(
            bucket=name, acl='public-read',
            create_bucket_configuration=oss.CreateBucketConfiguration(storage_class='IA')))
        info = self.client.get_bucket_info(oss.GetBucketInfoRequest(bucket=name)).bucket_info
        self.assertEqual((info.name, info.storage_class, info.acl), (name, 'IA', 'public-read'))
        location = self.client.get_bucket_location(oss.GetBucketLocationRequest(bucket=name)).location
        self.assertEqual(location, 'oss-cn-hangzhou')
        self.assertEqual(self.client.get_bucket_acl(oss.GetBucketAclRequest(bucket=name)).acl, 'public-read')
        self.client.put_bucket_acl(oss.PutBucketAclRequest(bucket=name, acl='private'))
        self.assertEqual(self.client.get_bucket_acl(oss.GetBucketAclRequest(bucket=name)).acl, 'private')
        stat = self.client.get_bucket_stat(oss.GetBucketStatRequest(bucket=name))
        self.assertEqual((stat.storage, stat.object_count), (0, 0))
        names = [one.name for page in self.client.list_buckets_paginator().iter_page(
            oss.ListBucketsRequest(prefix=NAME, max_keys=1)) for one in page.buckets]
        self.assertIn(name, names)
        self.assertTrue(self.client.is_bucket_exist(name))
        self.client.delete_bucket(oss.DeleteBucketRequest(bucket=name))
        self.assertFalse(self.client.is_bucket_exist(name))
        self.refused(404, 'NoSuchBucket', self.client.get_bucket_info, oss.GetBucketInfoRequest(bucket=name))

    def test_encryption_is_kept_and_objects_are_refused(self):
        name = NAME + '-secret'
        self.client.put_bucket(oss.PutBucketRequest(bucket=name))
        rule = oss.ServerSideEncryptionRule(
            apply_server_side_encryption_by_default=oss.ApplyServerSideEncryptionByDefault(sse_algorithm='AES256'))
        self.client.put_bucket_encryption(
            oss.PutBucketEncryptionRequest(bucket=name, server_side_encryption_rule=rule))
        kept = self.client.get_bucket_encryption(oss.GetBucketEncryptionRequest(bucket=name))
        self.assertEqual(
            kept.server_side_encryption_rule.apply_server_side_encryption_by_default.sse_algorithm, 'AES256')
        once = client(retry_max_attempts=1)
        self.refused(501, 'NotImplemented', once.put_object, oss.PutObjectRequest(bucket=name, key='k', body=b'1'))
        self.client.delete_bucket_encryption(oss.DeleteBucketEncryptionRequest(bucket=name))
        self.client.put_object(oss.PutObjectRequest(bucket=name, key='k', body=b'1'))

    def test_an_object_comes_back_as_it_was_put(self):
        data = os.urandom(300000)
        put = self.put(
            'whole/a b+%é"&<.raw', data, metadata={'Author': 'alice'}, content_type='application/x-raw',
            storage_class='IA', content_md5=base64.b64encode(hashlib.md5(data).digest()).decode())
        head = self.client.head_object(oss.HeadObjectRequest(bucket=NAME, key='whole/a b+%é"&<.raw'))
        self.assertEqual((head.content_length, head.content_type), (300000, 'application/x-raw'))
        self.assertEqual((head.etag, head.hash_crc64), (put.etag, put.hash_crc64))
        self.assertEqual((head.metadata, head.storage_class), ({'author': 'alice'}, 'IA'))
        self.assertEqual(self.get('whole/a b+%é"&<.raw'), data)
        meta = self.client.get_object_meta(oss.GetObjectMetaRequest(bucket=NAME, key='whole/a b+%é"&<.raw'))
        self.assertEqual((meta.content_length, meta.etag), (300000, put.etag))
        self.assertTrue(self.client.is_object_exist(NAME, 'whole/a b+%é"&<.raw'))
        self.assertFalse(self.client.is_object_exist(NAME, 'whole/none'))
        self.refused(404, 'NoSuchKey', self.client.get_object, oss.GetObjectRequest(bucket=NAME, key='whole/none'))
        self.put('chunked', iter([b'1' * 70000, b'2' * 70000]))
        self.assertEqual(self.get('chunked'), b'1' * 70000 + b'2' * 70000)
        self.refused(
            400, 'InvalidDigest', self.client.put_object, oss.PutObjectRequest(
                bucket=NAME, key='k', body=b'1', content_md5=base64.b64encode(b'0' * 16).decode()))

    def test_ranges_and_conditions(self):
        data = bytes(range(200))
        put = self.put('ranges', data)
        self.assertEqual(self.get('ranges', range_header='bytes=10-19'), data[10:20])
        self.assertEqual(self.get('ranges', range_header='bytes=150-999'), data)
        self.assertEqual(self.get('ranges', range_header='bytes=150-999', range_behavior='standard'), data[150:])
        self.refused(416, 'InvalidRange', self.client.get_object, oss.GetObjectRequest(
            bucket=NAME, key='ranges', range_header='bytes=200-', range_behavior='standard'))
        self.refused(412, 'PreconditionFailed', self.client.get_object, oss.GetObjectRequest(
            bucket=NAME, key='ranges', if_match='"x"'))
        with self.assertRaises(oss.exceptions.OperationError) as caught:
            self.get('ranges', if_none_match=put.etag)
        self.assertEqual(caught.exception.unwrap().status_code, 304)

    def test_copies_and_access_lists(self):
        self.put('copy/é +', b'12345', metadata={'a': '1'})
        copied = self.client.copy_object(oss.CopyObjectRequest(
            bucket=NAME, key='copy/target', source_bucket=NAME, source_key='copy/é +'))
        head = self.client.head_object(oss.HeadObjectRequest(bucket=NAME, key='copy/target'))
        self.assertEqual((head.etag, head.metadata), (copied.etag, {'a': '1'}))
        self.client.copy_object(oss.CopyObjectRequest(
            bucket=NAME, key='copy/target', source_bucket=NAME, source_key='copy/é +', metadata_directive='REPLACE',
            metadata={'b': '2'}))
        head = self.client.head_object(oss.HeadObjectRequest(bucket=NAME, key='copy/target'))
        self.assertEqual(head.metadata, {'b': '2'})
        self.client.put_object_acl(oss.PutObjectAclRequest(bucket=NAME, key='copy/target', acl='public-read'))
        acl = self.client.get_object_acl(oss.GetObjectAclRequest(bucket=NAME, key='copy/target'))
        self.assertEqual(acl.acl, 'public-read')
        self.assertEqual(self.get('copy/target', client(None)), b'12345')
        copier = self.client.copier(part_size=102400, multipart_copy_threshold=102400)
        data = os.urandom(300000)
        self.put('copy/big', data)
        copier.copy(oss.CopyObjectRequest(
            bucket=NAME, key='copy/big-target', source_bucket=NAME, source_key='copy/big'))
        self.assertEqual(self.get('copy/big-target'), data)

    def test_lists(self):
        names = ['list/a', 'list/b/1', 'list/b/2', 'list/c', 'list/é +&', 'list/漢']
        for name in names:
            self.put(name, b'12')
        for size in (1, 2, 100):
            for paginator, request in (
                    (self.client.list_objects_paginator(), oss.ListObjectsRequest),
                    (self.client.list_objects_v2_paginator(), oss.ListObjectsV2Request)):
                pages = list(paginator.iter_page(request(bucket=NAME, prefix='list/', max_keys=size)))
                self.assertEqual([one.key for page in pages for one in page.contents or []], names)
                pages = list(paginator.iter_page(
                    request(bucket=NAME, prefix='list/', delimiter='/', max_keys=size)))
                self.assertEqual([one.prefix for page in pages for one in page.common_prefixes or []], ['list/b/'])
                self.assertEqual(
                    [one.key for page in pages for one in page.contents or []],
                    ['list/a', 'list/c', 'list/é +&', 'list/漢'])
        gone = self.client.delete_multiple_objects(oss.DeleteMultipleObjectsRequest(
            bucket=NAME, objects=[oss.DeleteObject(key=name) for name in names], encoding_type='url'))
        self.assertEqual(sorted(one.key for one in gone.deleted_objects), sorted(names))
        self.assertFalse(self.client.list_objects_v2(oss.ListObjectsV2Request(bucket=NAME, prefix='list/')).contents)

    def test_parts_and_uploads(self):
        key = 'parts/é +'
        upload = self.client.initiate_multipart_upload(
            oss.InitiateMultipartUploadRequest(bucket=NAME, key=key)).upload_id
        data = [os.urandom(102400), b'end']
        parts = []
        for number, one in enumerate(data, 1):
            result = self.client.upload_part(oss.UploadPartRequest(
                bucket=NAME, key=key, upload_id=upload, part_number=number, body=one))
            parts.append(oss.UploadPart(part_number=number, etag=result.etag))
        pages = self.client.list_parts_paginator().iter_page(
            oss.ListPartsRequest(bucket=NAME, key=key, upload_id=upload, max_parts=1))
        listed = [one for page in pages for one in page.parts]
        self.assertEqual([(one.part_number, one.size) for one in listed], [(1, 102400), (2, 3)])
        self.assertTrue(all(int(one.hash_crc64) for one in listed))
        uploads = [one for page in self.client.list_multipart_uploads_paginator().iter_page(
            oss.ListMultipartUploadsRequest(bucket=NAME, prefix='parts/', max_uploads=1)) for one in page.uploads]
        self.assertEqual([(one.key, one.upload_id) for one in uploads], [(key, upload)])
        done = self.client.complete_multipart_upload(oss.CompleteMultipartUploadRequest(
            bucket=NAME, key=key, upload_id=upload,
            complete_multipart_upload=oss.CompleteMultipartUpload(parts=parts)))
        self.assertEqual((done.key, done.bucket), (key, NAME))
        self.assertEqual(self.get(key), b''.join(data))
        upload = self.client.initiate_multipart_upload(
            oss.InitiateMultipartUploadRequest(bucket=NAME, key=key)).upload_id
        self.client.abort_multipart_upload(
            oss.AbortMultipartUploadRequest(bucket=NAME, key=key, upload_id=upload))
        self.refused(404, 'NoSuchUpload', self.client.list_parts, oss.ListPartsRequest(
            bucket=NAME, key=key, upload_id=upload))

    def test_an_upload_is_resumed(self):
        data = os.urandom(1000000)
        path = os.path.join(self.folder, 'upload')
        with open(path, 'wb') as out:
            out.write(data)
        sent = []
        own = client()
        plain = own.upload_part

        def counting(request, **more):
            sent.append(request.part_number)
            if sent == [1, 2, 3, 4]:
                raise RuntimeError('killed')
            return plain(request, **more)

        own.upload_part = counting
        uploader = own.uploader(
            part_size=102400, parallel_num=1, enable_checkpoint=True, checkpoint_dir=self.folder)
        call = lambda: uploader.upload_file(oss.PutObjectRequest(bucket=NAME, key='resumed'), path)
        with self.assertRaises(Exception):
            call()
        result = call()
        self.assertEqual(sent, [1, 2, 3, 4] + list(range(4, 11)))
        self.assertEqual(self.get('resumed'), data)
        self.assertIsNotNone(result.hash_crc64)
        # Several parts at once, from a stream.
        self.client.uploader(part_size=102400, parallel_num=4).upload_from(
            oss.PutObjectRequest(bucket=NAME, key='streamed'), io.BytesIO(data))
        self.assertEqual(self.get('streamed'), data)

    def test_a_download_is_resumed(self):
        data = os.urandom(1000000)
        self.put('download', data)
        path = os.path.join(self.folder, 'download')
        own = client()
        plain = own.get_object
        ranges = []

        def counting(request, **more):
            ranges.append(request.range_header)
            if len(ranges) == 4:
                raise RuntimeError('killed')
            return plain(request, **more)

        own.get_object = counting
        downloader = own.downloader(
            part_size=102400, parallel_num=1, enable_checkpoint=True, checkpoint_dir=self.folder, verify_data=True)
        call = lambda: downloader.download_file(oss.GetObjectRequest(bucket=NAME, key='download'), path)
        with self.assertRaises(Exception):
            call()
        call()
        self.assertEqual(len(ranges), 11)
        with open(path, 'rb') as made:
            self.assertEqual(made.read(), data)

    def test_wrong_and_temporary_keys(self):
        once = dict(retry_max_attempts=1)
        list_request = oss.ListObjectsRequest(bucket=NAME)
        self.refused(403, 'InvalidAccessKeyId', client('nobody', **once).list_objects, list_request)
        self.refused(403, 'SignatureDoesNotMatch', client(secret='wrong', **once).list_objects, list_request)
        self.refused(403, 'AccessDenied', client(None, **once).list_objects, list_request)
        self.put('sts', b'1', client('sts-id', 'sts-secret', 'sts-token'))
        for token in (None, 'other'):
            self.refused(
                403, 'InvalidSecurityToken', client('sts-id', 'sts-secret', token, **once).list_objects, list_request)
        self.refused(
            403, 'SecurityTokenExpired', client('old-id', 'old-secret', 'old-token', **once).list_objects,
            list_request)

    def test_a_clock_that_is_wrong(self):
        own = client(endpoint=SKEWED, retry_max_attempts=1)
        error = self.refused(403, 'RequestTimeTooSkewed', own.list_objects, oss.ListObjectsRequest(bucket=NAME))
        server = datetime.datetime.strptime(error.error_fileds['ServerTime'], '%Y-%m-%dT%H:%M:%S.000Z')
        ahead = (server - datetime.datetime.utcnow()).total_seconds()
        self.assertLess(abs(ahead - 1200), 60)

    def test_signed_addresses(self):
        key = 'signed/é +&.raw'
        put = self.client.presign(
            oss.PutObjectRequest(bucket=NAME, key=key, content_type='text/x-y', metadata={'a': '1'}))
        headers = dict(put.signed_headers)
        self.assertEqual(requests.put(put.url, data=b'12345', headers=headers).status_code, 200)
        self.assertEqual(requests.put(put.url, data=b'12345').status_code, 403)
        get = self.client.presign(oss.GetObjectRequest(bucket=NAME, key=key), expires=datetime.timedelta(seconds=60))
        answer = requests.get(get.url)
        self.assertEqual((answer.content, answer.headers['x-oss-meta-a']), (b'12345', '1'))
        self.assertEqual(requests.delete(get.url).status_code, 403)
        temporary = client('sts-id', 'sts-secret', 'sts-token').presign(oss.GetObjectRequest(bucket=NAME, key=key))
        self.assertEqual(requests.get(temporary.url).content, b'12345')
        self.assertEqual(requests.get(temporary.url.replace('sts-token', 'other')).status_code, 403)
        if V4:
            late = self.client.presign(
                oss.GetObjectRequest(bucket=NAME, key=key), expires=datetime.timedelta(days=6))
            self.assertEqual(requests.get(late.url).status_code, 200)

    def test_additional_headers_are_signed(self):
        # Version 1 leaves them alone.
        own = client(additional_headers=['host', 'range'])
        self.put('additional', b'12345', own)
        self.assertEqual(self.get('additional', own, range_header='bytes=1-2'), b'23')


if __name__ == '__main__':
    unittest.main()
