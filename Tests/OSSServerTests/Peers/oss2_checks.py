"""What the vendor's older client does with the server; run with the version of the signature, 1 or 4, in VERSION."""
import io
import os
import tempfile
import time
import unittest
import urllib.parse

import crcmod
import oss2
import requests

ENDPOINT, SKEWED = os.environ['ENDPOINT'], os.environ['SKEWED_ENDPOINT']
V4 = os.environ['VERSION'] == '4'
KIND = oss2.AuthV4 if V4 else oss2.Auth
AUTH = KIND('test-id', 'test-secret')
NAME = 'oss2-v4' if V4 else 'oss2-v1'


def bucket(auth=AUTH, name=NAME, endpoint=ENDPOINT):
    return oss2.Bucket(auth, endpoint, name, region='cn-hangzhou', enable_crc=True)


def crc64(data):
    crc = crcmod.Crc(0x142F0E1EBA9EA3693, initCrc=0, rev=True, xorOut=0xFFFFFFFFFFFFFFFF)
    crc.update(data)
    return crc.crcValue


class Failing(io.BytesIO):
    """A file whose reading fails at a place."""

    def __init__(self, data, place):
        super().__init__(data)
        self.place = place

    def read(self, *arguments):
        if self.tell() >= self.place:
            raise OSError('the source is gone')
        return super().read(*arguments)


class Checks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bucket = bucket()
        cls.bucket.create_bucket(oss2.BUCKET_ACL_PRIVATE, oss2.models.BucketCreateConfig(oss2.BUCKET_STORAGE_CLASS_IA))
        cls.folder = tempfile.mkdtemp()

    def refused(self, status, code, call, *arguments, **more):
        with self.assertRaises(oss2.exceptions.OssError) as caught:
            call(*arguments, **more)
        error = caught.exception
        self.assertEqual((error.status, error.code), (status, code), error)
        self.assertRegex(error.request_id, '^[0-9A-F]{24}$')
        return error

    def keys(self, **more):
        return [one.key for one in oss2.ObjectIterator(self.bucket, **more)]

    def file(self, name, data):
        path = os.path.join(self.folder, name)
        with open(path, 'wb') as out:
            out.write(data)
        return path

    # Buckets

    def test_a_bucket_tells_what_it_is(self):
        info = self.bucket.get_bucket_info()
        self.assertEqual((info.name, info.storage_class, info.location), (NAME, 'IA', 'oss-cn-hangzhou'))
        self.assertEqual((info.acl.grant, info.owner.id), ('private', 'lathe'))
        self.assertIsNone(info.bucket_encryption_rule.sse_algorithm)
        self.assertEqual(self.bucket.get_bucket_location().location, 'oss-cn-hangzhou')
        self.assertLess(abs(oss2.utils.iso8601_to_unixtime(info.creation_date) - time.time()), 600)

    def test_buckets_are_listed_in_pages(self):
        service = oss2.Service(AUTH, ENDPOINT, region='cn-hangzhou')
        for number in range(3):
            bucket(name='%s-list-%d' % (NAME, number)).create_bucket()
        names = [one.name for one in oss2.BucketIterator(service, prefix=NAME + '-list', max_keys=2)]
        self.assertEqual(names, ['%s-list-%d' % (NAME, number) for number in range(3)])
        for name in names:
            bucket(name=name).delete_bucket()
        self.refused(404, 'NoSuchBucket', bucket(name=names[0]).get_bucket_info)

    def test_a_bucket_with_objects_stays(self):
        full = bucket(name=NAME + '-full')
        full.create_bucket()
        full.put_object('one', b'1')
        self.refused(409, 'BucketNotEmpty', full.delete_bucket)
        full.delete_object('one')
        upload = full.init_multipart_upload('two').upload_id
        self.refused(409, 'BucketNotEmpty', full.delete_bucket)
        full.abort_multipart_upload('two', upload)
        full.delete_bucket()

    def test_an_encrypted_bucket_says_so_and_takes_no_objects(self):
        secret = bucket(name=NAME + '-secret')
        secret.create_bucket()
        self.refused(404, 'NoSuchServerSideEncryptionRule', secret.get_bucket_encryption)
        secret.put_bucket_encryption(oss2.models.ServerSideEncryptionRule('KMS', 'key-1'))
        rule = secret.get_bucket_encryption()
        self.assertEqual((rule.sse_algorithm, rule.kms_master_keyid), ('KMS', 'key-1'))
        self.assertEqual(secret.get_bucket_info().bucket_encryption_rule.sse_algorithm, 'KMS')
        self.refused(501, 'NotImplemented', secret.put_object, 'k', b'1')
        self.refused(501, 'NotImplemented', secret.init_multipart_upload, 'k')
        secret.delete_bucket_encryption()
        secret.put_object('k', b'1')
        self.refused(
            501, 'NotImplemented', secret.put_object, 'k', b'1', headers={'x-oss-server-side-encryption': 'AES256'})

    def test_access_lists_are_kept_and_obeyed(self):
        public = bucket(name=NAME + '-public')
        public.create_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
        self.assertEqual(public.get_bucket_acl().acl, 'public-read')
        public.put_object('open', b'1')
        public.put_object('closed', b'1', headers={'x-oss-object-acl': 'private'})
        self.assertEqual(public.get_object_acl('closed').acl, 'private')
        anybody = bucket(oss2.AnonymousAuth(), NAME + '-public')
        self.assertEqual(anybody.get_object('open').read(), b'1')
        self.refused(403, 'AccessDenied', anybody.get_object, 'closed')
        self.refused(403, 'AccessDenied', anybody.put_object, 'open', b'2')
        self.refused(403, 'AccessDenied', anybody.delete_object, 'open')
        self.refused(403, 'AccessDenied', anybody.list_objects)
        public.put_object_acl('closed', oss2.OBJECT_ACL_PUBLIC_READ)
        self.assertEqual(anybody.get_object('closed').read(), b'1')
        public.put_bucket_acl(oss2.BUCKET_ACL_PRIVATE)
        self.refused(403, 'AccessDenied', anybody.get_object, 'open')

    def test_the_statistics_count(self):
        counted = bucket(name=NAME + '-stat')
        counted.create_bucket()
        counted.put_object('a', b'12345')
        upload = counted.init_multipart_upload('b').upload_id
        counted.upload_part('b', upload, 1, b'123')
        stat = counted.get_bucket_stat()
        self.assertEqual((stat.storage_size_in_bytes, stat.object_count, stat.multi_part_upload_count), (8, 1, 1))

    # Objects

    def test_an_object_comes_back_as_it_was_put(self):
        data = os.urandom(300000)
        put = self.bucket.put_object(
            'whole/a b+%é"&<.raw', data, headers={
                'Content-Type': 'application/x-raw', 'x-oss-meta-Author': 'alice', 'x-oss-storage-class': 'Archive',
                'Content-MD5': oss2.utils.content_md5(data), 'Cache-Control': 'no-cache', 'Content-Language': 'eo',
                'Content-Disposition': 'attachment; filename="x"', 'Expires': 'Wed, 28 Dec 2033 10:27:41 GMT'})
        self.assertEqual(put.crc, crc64(data))
        head = self.bucket.head_object('whole/a b+%é"&<.raw')
        self.assertEqual((head.content_length, head.content_type), (300000, 'application/x-raw'))
        self.assertEqual((head.etag, head.server_crc), (put.etag, put.crc))
        self.assertEqual(head.headers['x-oss-meta-author'], 'alice')
        self.assertEqual(head.headers['x-oss-storage-class'], 'Archive')
        self.assertEqual((head.headers['Cache-Control'], head.headers['Content-Language']), ('no-cache', 'eo'))
        self.assertEqual(head.headers['Content-Disposition'], 'attachment; filename="x"')
        self.assertEqual(head.headers['Expires'], 'Wed, 28 Dec 2033 10:27:41 GMT')
        self.assertEqual(head.object_type, 'Normal')
        self.assertEqual(self.bucket.get_object('whole/a b+%é"&<.raw').read(), data)
        meta = self.bucket.get_object_meta('whole/a b+%é"&<.raw')
        self.assertEqual((meta.content_length, meta.etag), (300000, put.etag))
        self.assertTrue(self.bucket.object_exists('whole/a b+%é"&<.raw'))
        self.assertFalse(self.bucket.object_exists('whole/none'))

    def test_empty_and_chunked_objects(self):
        self.bucket.put_object('empty', b'')
        self.assertEqual(self.bucket.get_object('empty').read(), b'')
        pieces = [os.urandom(70000) for _ in range(20)]
        self.bucket.put_object('chunked', iter(pieces))
        self.assertEqual(self.bucket.get_object('chunked').read(), b''.join(pieces))

    def test_a_source_that_fails_leaves_nothing(self):
        with self.assertRaises(Exception):
            self.bucket.put_object('broken', Failing(os.urandom(1 << 20), 500000))
        self.refused(404, 'NoSuchKey', self.bucket.head_object, 'broken')

    def test_a_wrong_md5_stores_nothing(self):
        error = self.refused(
            400, 'InvalidDigest', self.bucket.put_object, 'wrong', b'data',
            headers={'Content-MD5': oss2.utils.content_md5(b'other')})
        self.assertEqual(error.details['Calculated-MD5'], oss2.utils.content_md5(b'data'))
        self.refused(400, 'InvalidDigest', self.bucket.put_object, 'wrong', b'data', headers={'Content-MD5': 'x'})
        self.refused(
            400, 'InvalidDigest', self.bucket.put_object, 'wrong', b'data', headers={'x-oss-hash-crc64ecma': '1'})
        self.assertFalse(self.bucket.object_exists('wrong'))
        self.bucket.put_object('wrong', b'data', headers={'x-oss-hash-crc64ecma': str(crc64(b'data'))})

    def test_ranges(self):
        data = bytes(range(200))
        self.bucket.put_object('ranges', data)

        def get(field, **headers):
            answer = self.bucket.get_object('ranges', headers=dict({'Range': field}, **headers))
            return answer.status, answer.read(), answer.headers.get('Content-Range')

        self.assertEqual(get('bytes=10-19'), (206, data[10:20], 'bytes 10-19/200'))
        self.assertEqual(get('bytes=190-'), (206, data[190:], 'bytes 190-199/200'))
        self.assertEqual(get('bytes=-5'), (206, data[195:], 'bytes 195-199/200'))
        # By default OSS ignores what it can't satisfy.
        for field in ['bytes=200-', 'bytes=150-200', 'bytes=-201', 'bytes=-0', 'bytes=5-4', 'byte=0-4', 'bytes=a-b']:
            self.assertEqual(get(field), (200, data, None), field)
        self.assertEqual(get('bytes=0-1,5-6'), (206, data[:2], 'bytes 0-1/200'))
        standard = {'x-oss-range-behavior': 'standard'}
        self.assertEqual(get('bytes=150-999', **standard), (206, data[150:], 'bytes 150-199/200'))
        for field in ['bytes=200-', 'bytes=0-1,5-6']:
            error = self.refused(
                416, 'InvalidRange', self.bucket.get_object, 'ranges', headers=dict(standard, Range=field))
            self.assertEqual(error.details['ActualObjectSize'], '200')
        self.assertEqual(self.bucket.get_object('ranges', byte_range=(5, 9)).read(), data[5:10])

    def test_conditions(self):
        tag = self.bucket.put_object('conditions', b'1').etag
        head = self.bucket.head_object('conditions')
        now = head.headers['Last-Modified']
        before, after = (oss2.utils.http_date(head.last_modified + by) for by in (-60, 60))
        for headers, status in [
            ({'If-Match': '"%s"' % tag}, 200), ({'If-Match': tag.lower()}, 200), ({'If-Match': '*'}, 200),
            ({'If-Match': '"x"'}, 412), ({'If-None-Match': '"x"'}, 200), ({'If-None-Match': '"%s"' % tag}, 304),
            ({'If-Modified-Since': before}, 200), ({'If-Modified-Since': now}, 304),
            ({'If-Unmodified-Since': before}, 412), ({'If-Unmodified-Since': now}, 200),
            ({'If-Match': tag, 'If-Unmodified-Since': before}, 200),
            ({'If-None-Match': '"x"', 'If-Modified-Since': after}, 200), ({'If-Modified-Since': 'yesterday'}, 200),
        ]:
            for call in (self.bucket.get_object, self.bucket.head_object):
                if status == 200:
                    self.assertEqual(call('conditions', headers=headers).status, 200, headers)
                    continue
                with self.assertRaises(oss2.exceptions.OssError) as caught:
                    call('conditions', headers=headers)
                self.assertEqual(caught.exception.status, status, headers)

    def test_overwriting_can_be_forbidden(self):
        self.bucket.put_object('kept', b'1')
        forbid = {'x-oss-forbid-overwrite': 'true'}
        error = self.refused(409, 'FileAlreadyExists', self.bucket.put_object, 'kept', b'2', headers=forbid)
        self.assertEqual(error.ec, '0042-00000214')
        self.assertEqual(error.headers['x-oss-ec'], '0042-00000214')
        self.refused(409, 'FileAlreadyExists', self.bucket.init_multipart_upload, 'kept', headers=forbid)
        self.refused(
            409, 'FileAlreadyExists', self.bucket.copy_object, NAME, 'kept', 'kept', headers=forbid)
        upload = self.bucket.init_multipart_upload('kept').upload_id
        part = self.bucket.upload_part('kept', upload, 1, b'3')
        parts = [oss2.models.PartInfo(1, part.etag)]
        self.refused(
            409, 'FileAlreadyExists', self.bucket.complete_multipart_upload, 'kept', upload, parts, headers=forbid)
        self.assertEqual(self.bucket.get_object('kept').read(), b'1')
        self.bucket.abort_multipart_upload('kept', upload)
        self.bucket.put_object('kept', b'4')

    def test_deleting(self):
        for key in ['del/1', 'del/2', 'del/é&<']:
            self.bucket.put_object(key, b'1')
        self.assertEqual(self.bucket.delete_object('del/1').status, 204)
        self.assertEqual(self.bucket.delete_object('del/1').status, 204)
        gone = self.bucket.batch_delete_objects(['del/1', 'del/2', 'del/é&<']).deleted_keys
        self.assertEqual(sorted(gone), ['del/1', 'del/2', 'del/é&<'])
        self.assertEqual(self.keys(prefix='del/'), [])

    def test_copies(self):
        data = os.urandom(300000)
        source = self.bucket.put_object('copy/source é+', data, headers={
            'x-oss-meta-a': '1', 'Content-Type': 'text/x-a'})
        copied = self.bucket.copy_object(NAME, 'copy/source é+', 'copy/target')
        self.assertEqual(copied.etag, source.etag)
        target = self.bucket.get_object('copy/target')
        self.assertEqual(target.read(), data)
        self.assertEqual((target.headers['x-oss-meta-a'], target.content_type), ('1', 'text/x-a'))
        self.bucket.copy_object(NAME, 'copy/source é+', 'copy/target', headers={
            'x-oss-metadata-directive': 'REPLACE', 'x-oss-meta-b': '2'})
        headers = self.bucket.head_object('copy/target').headers
        self.assertEqual((headers.get('x-oss-meta-a'), headers['x-oss-meta-b']), (None, '2'))
        # An object that is copied onto itself keeps its bytes and takes the new metadata.
        self.bucket.update_object_meta('copy/target', {'x-oss-meta-c': '3'})
        target = self.bucket.get_object('copy/target')
        self.assertEqual((target.read(), target.headers['x-oss-meta-c']), (data, '3'))
        self.assertIsNone(target.headers.get('x-oss-meta-b'))
        other = bucket(name=NAME + '-other')
        other.create_bucket()
        other.copy_object(NAME, 'copy/source é+', 'from-elsewhere')
        self.assertEqual(other.get_object('from-elsewhere').read(), data)
        self.refused(404, 'NoSuchKey', self.bucket.copy_object, NAME, 'copy/none', 'copy/target')
        self.refused(404, 'NoSuchBucket', self.bucket.copy_object, NAME + '-none', 'copy/none', 'copy/target')
        self.refused(
            412, 'PreconditionFailed', self.bucket.copy_object, NAME, 'copy/source é+', 'copy/target',
            headers={'x-oss-copy-source-if-match': 'x'})
        with self.assertRaises(oss2.exceptions.NotModified):
            self.bucket.copy_object(NAME, 'copy/source é+', 'copy/target', headers={
                'x-oss-copy-source-if-none-match': source.etag})

    # Lists

    def test_lists_in_pages_with_delimiters(self):
        names = ['list/a', 'list/b/1', 'list/b/2', 'list/b/3', 'list/c', 'list/d/x/y', 'list/e', 'list/é +&', 'list/漢']
        for name in names:
            self.bucket.put_object(name, b'12')
        for size in (1, 2, 3, 100):
            self.assertEqual(self.keys(prefix='list/', max_keys=size), names)
            self.assertEqual(
                [one.key for one in oss2.ObjectIteratorV2(self.bucket, prefix='list/', max_keys=size)], names)
            grouped = sorted(['list/a', 'list/b/', 'list/c', 'list/d/', 'list/e', 'list/é +&', 'list/漢'])
            self.assertEqual(sorted(self.keys(prefix='list/', delimiter='/', max_keys=size)), grouped)
            self.assertEqual(
                sorted(one.key for one in oss2.ObjectIteratorV2(
                    self.bucket, prefix='list/', delimiter='/', max_keys=size)), grouped)
        page = self.bucket.list_objects('list/', '/', max_keys=2)
        self.assertEqual((page.is_truncated, page.next_marker, page.prefix_list), (True, 'list/b/', ['list/b/']))
        page = self.bucket.list_objects('list/', '/', marker='list/b/', max_keys=1)
        self.assertEqual([one.key for one in page.object_list], ['list/c'])
        one = self.bucket.list_objects('list/a').object_list[0]
        self.assertEqual((one.size, one.type, one.storage_class), (2, 'Normal', 'IA'))
        self.assertEqual(one.owner.id, 'lathe')
        page = self.bucket.list_objects_v2('list/', start_after='list/c', fetch_owner=True, max_keys=1)
        self.assertEqual((page.object_list[0].key, page.object_list[0].owner.id), ('list/d/x/y', 'lathe'))
        self.refused(400, 'InvalidArgument', self.bucket.list_objects, max_keys=1001)
        self.refused(400, 'InvalidArgument', self.bucket.list_objects_v2, continuation_token='nonsense')

    # Parts

    def test_parts_make_an_object(self):
        data = [os.urandom(102400), os.urandom(102400), b'end']
        upload = self.bucket.init_multipart_upload('parts/a', headers={
            'x-oss-meta-a': '1', 'x-oss-storage-class': 'Standard'}).upload_id
        parts = []
        # Numbers may have gaps, and parts may come in any order, and twice.
        self.bucket.upload_part('parts/a', upload, 8, b'rubbish')
        for number, one in reversed(list(zip((1, 5, 8), data))):
            result = self.bucket.upload_part('parts/a', upload, number, one, headers={
                'Content-MD5': oss2.utils.content_md5(one)})
            parts.insert(0, oss2.models.PartInfo(number, result.etag, size=len(one), part_crc=result.crc))
        listed = list(oss2.PartIterator(self.bucket, 'parts/a', upload, max_parts=2))
        self.assertEqual([(one.part_number, one.size, one.etag) for one in listed],
                         [(one.part_number, one.size, one.etag) for one in parts])
        done = self.bucket.complete_multipart_upload('parts/a', upload, parts)
        self.assertEqual(done.crc, crc64(b''.join(data)))
        self.assertTrue(done.etag.endswith('-3'))
        got = self.bucket.get_object('parts/a')
        self.assertEqual(got.read(), b''.join(data))
        self.assertEqual((got.headers['x-oss-meta-a'], got.object_type), ('1', 'Multipart'))
        self.assertEqual(got.headers['x-oss-storage-class'], 'Standard')
        self.refused(404, 'NoSuchUpload', self.bucket.complete_multipart_upload, 'parts/a', upload, parts)
        self.refused(404, 'NoSuchUpload', self.bucket.upload_part, 'parts/a', upload, 1, b'1')
        self.refused(404, 'NoSuchUpload', self.bucket.list_parts, 'parts/a', upload)

    def test_what_can_not_be_completed(self):
        upload = self.bucket.init_multipart_upload('parts/b').upload_id
        tags = [self.bucket.upload_part('parts/b', upload, number, b'1' * 102400).etag for number in (1, 2)]
        complete = lambda parts: self.bucket.complete_multipart_upload(
            'parts/b', upload, [oss2.models.PartInfo(number, tag) for number, tag in parts])
        # The client sorts them itself, so the wrong order goes out by hand.
        xml = ('<CompleteMultipartUpload><Part><PartNumber>2</PartNumber><ETag>"%s"</ETag></Part>'
               '<Part><PartNumber>1</PartNumber><ETag>"%s"</ETag></Part></CompleteMultipartUpload>')
        with self.assertRaises(oss2.exceptions.OssError) as caught:
            self.bucket._Bucket__do_object('POST', 'parts/b', params={'uploadId': upload}, data=xml % tuple(tags))
        self.assertEqual((caught.exception.code, caught.exception.ec), ('InvalidPartOrder', '0042-00000209'))
        self.refused(400, 'InvalidPart', complete, [(1, tags[0]), (3, tags[1])])
        self.refused(400, 'InvalidPart', complete, [(1, tags[0]), (2, '0' * 32)])
        small = self.bucket.upload_part('parts/b', upload, 1, b'1' * 102399).etag
        error = self.refused(400, 'EntityTooSmall', complete, [(1, small), (2, tags[1])])
        self.assertEqual(error.ec, '0042-00000213')
        self.refused(400, 'InvalidArgument', self.bucket.upload_part, 'parts/b', upload, 10001, b'1')
        self.refused(400, 'InvalidArgument', self.bucket.upload_part, 'parts/b', upload, 0, b'1')
        self.refused(
            400, 'InvalidDigest', self.bucket.upload_part, 'parts/b', upload, 2, b'1',
            headers={'Content-MD5': oss2.utils.content_md5(b'other')})
        # A part that was refused leaves the one before it in place.
        self.assertEqual(self.bucket.list_parts('parts/b', upload).parts[1].size, 102400)
        self.bucket.abort_multipart_upload('parts/b', upload)
        self.refused(404, 'NoSuchUpload', self.bucket.abort_multipart_upload, 'parts/b', upload)
        self.assertFalse(self.bucket.object_exists('parts/b'))

    def test_all_parts_can_be_completed_at_once(self):
        upload = self.bucket.init_multipart_upload('parts/all').upload_id
        for number in (1, 2):
            self.bucket.upload_part('parts/all', upload, number, bytes([number]) * 102400)
        self.bucket.complete_multipart_upload('parts/all', upload, None, headers={'x-oss-complete-all': 'yes'})
        self.assertEqual(self.bucket.get_object('parts/all').read(), b'\1' * 102400 + b'\2' * 102400)

    def test_parts_are_copied(self):
        data = os.urandom(300000)
        self.bucket.put_object('parts/source', data)
        upload = self.bucket.init_multipart_upload('parts/copied').upload_id
        parts = []
        for number, ends in enumerate([(0, 149999), (150000, 299999)], 1):
            result = self.bucket.upload_part_copy(NAME, 'parts/source', ends, 'parts/copied', upload, number)
            parts.append(oss2.models.PartInfo(number, result.etag))
        self.refused(
            416, 'InvalidRange', self.bucket.upload_part_copy, NAME, 'parts/source', (0, 300000), 'parts/copied',
            upload, 3)
        self.bucket.complete_multipart_upload('parts/copied', upload, parts)
        self.assertEqual(self.bucket.get_object('parts/copied').read(), data)

    def test_uploads_are_listed_in_pages(self):
        begun = []
        for key in ['ups/a', 'ups/a', 'ups/b', 'ups/c/1', 'ups/c/2', 'ups/é +']:
            begun.append((key, self.bucket.init_multipart_upload(key).upload_id))
        for size in (1, 2, 100):
            found = [
                (one.key, one.upload_id)
                for one in oss2.MultipartUploadIterator(self.bucket, prefix='ups/', max_uploads=size)]
            self.assertEqual(sorted(found), sorted(begun), size)
        one = self.bucket.list_multipart_uploads(prefix='ups/b').upload_list[0]
        self.assertLess(abs(one.initiation_date - time.time()), 600)
        groups = self.bucket.list_multipart_uploads(prefix='ups/', delimiter='/').prefix_list
        self.assertEqual(groups, ['ups/c/'])
        found = [one.upload_id for one in oss2.ObjectUploadIterator(self.bucket, 'ups/a')]
        self.assertEqual(sorted(found), sorted(id for key, id in begun if key == 'ups/a'))
        for key, upload in begun:
            self.bucket.abort_multipart_upload(key, upload)
        self.assertEqual(self.bucket.list_multipart_uploads(prefix='ups/').upload_list, [])

    def test_an_upload_is_resumed(self):
        data = os.urandom(1000000)
        path = self.file('upload', data)
        store = oss2.ResumableStore(root=self.folder)
        sent = []
        plain = oss2.Bucket.upload_part

        def counting(own, key, upload, number, *arguments, **more):
            if number == 6 and 6 not in sent:
                sent.append(number)
                raise RuntimeError('killed')
            sent.append(number)
            return plain(own, key, upload, number, *arguments, **more)

        oss2.Bucket.upload_part = counting
        try:
            call = lambda: oss2.resumable_upload(
                self.bucket, 'resumed', path, store=store, multipart_threshold=1, part_size=102400)
            with self.assertRaises(Exception):
                call()
            call()
        finally:
            oss2.Bucket.upload_part = plain
        self.assertEqual(sorted(sent), [1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10])
        self.assertEqual(self.bucket.get_object('resumed').read(), data)

    def test_a_download_is_resumed(self):
        data = os.urandom(1000000)
        self.bucket.put_object('download', data)
        path = os.path.join(self.folder, 'download')
        store = oss2.ResumableDownloadStore(root=self.folder)
        plain = oss2.Bucket.get_object
        ranges = []

        def counting(own, key, byte_range=None, **more):
            ranges.append(byte_range)
            if len(ranges) == 4:
                raise RuntimeError('killed')
            return plain(own, key, byte_range=byte_range, **more)

        oss2.Bucket.get_object = counting
        try:
            call = lambda: oss2.resumable_download(
                self.bucket, 'download', path, store=store, multiget_threshold=1, part_size=102400)
            with self.assertRaises(Exception):
                call()
            call()
        finally:
            oss2.Bucket.get_object = plain
        self.assertEqual(len(ranges), 11)
        with open(path, 'rb') as made:
            self.assertEqual(made.read(), data)

    # Who may

    def test_wrong_keys(self):
        error = self.refused(403, 'InvalidAccessKeyId', bucket(KIND('nobody', 'test-secret')).list_objects)
        self.assertEqual(error.details['OSSAccessKeyId'], 'nobody')
        error = self.refused(403, 'SignatureDoesNotMatch', bucket(KIND('test-id', 'wrong')).put_object, 'k', b'1')
        self.assertTrue(error.details['StringToSign'].startswith('OSS4-HMAC-SHA256\n' if V4 else 'PUT\n'))
        self.assertEqual(error.ec, '0002-00000201' if V4 else '')
        self.refused(403, 'AccessDenied', bucket(oss2.AnonymousAuth()).list_objects)
        with self.assertRaises(oss2.exceptions.OssError) as caught:
            bucket(KIND('test-id', 'wrong')).head_object('k')
        self.assertEqual(caught.exception.code, 'SignatureDoesNotMatch')
        # A body that is long is read, so that the client sees the answer.
        self.refused(
            403, 'SignatureDoesNotMatch', bucket(KIND('test-id', 'wrong')).put_object, 'k', b'1' * (8 << 20))

    def test_version_2_of_the_signature_is_refused(self):
        self.refused(501, 'NotImplemented', bucket(oss2.AuthV2('test-id', 'test-secret')).list_objects)

    def test_a_clock_that_is_wrong(self):
        error = self.refused(403, 'RequestTimeTooSkewed', bucket(endpoint=SKEWED).list_objects)
        ahead = oss2.utils.iso8601_to_unixtime(error.details['ServerTime']) - time.time()
        self.assertLess(abs(ahead - 1200), 60)
        self.assertEqual(error.details['MaxAllowedSkewMilliseconds'], '900000')

    def test_temporary_keys(self):
        version = 'v4' if V4 else 'v1'
        temporary = bucket(oss2.StsAuth('sts-id', 'sts-secret', 'sts-token', version))
        temporary.put_object('sts', b'1')
        self.assertEqual(requests.get(temporary.sign_url('GET', 'sts', 60)).content, b'1')
        for token in ('other', None):
            self.refused(
                403, 'InvalidSecurityToken',
                bucket(oss2.StsAuth('sts-id', 'sts-secret', token, version)).get_object, 'sts')
        self.refused(
            403, 'SecurityTokenExpired',
            bucket(oss2.StsAuth('old-id', 'old-secret', 'old-token', version)).get_object, 'sts')

    def test_signed_addresses(self):
        self.bucket.put_object('signed/é +&.raw', b'12345')
        # With the slash escaped or not.
        for safe in (False, True):
            address = self.bucket.sign_url('GET', 'signed/é +&.raw', 60, slash_safe=safe, params={
                'response-content-type': 'text/x-y', 'response-content-disposition': 'attachment; filename="é"'})
            answer = requests.get(address, headers={'Range': 'bytes=1-2'})
            self.assertEqual((answer.status_code, answer.content), (206, b'23'))
            self.assertEqual(answer.headers['Content-Type'], 'text/x-y')
            self.assertIn('attachment', answer.headers['Content-Disposition'])
        put = self.bucket.sign_url('PUT', 'signed/put', 60, headers={'Content-Type': 'text/x-y'})
        self.assertEqual(requests.put(put, data=b'1', headers={'Content-Type': 'text/z'}).status_code, 403)
        self.assertEqual(requests.put(put, data=b'1', headers={'Content-Type': 'text/x-y'}).status_code, 200)
        self.assertEqual(requests.get(put).status_code, 403)
        self.assertEqual(requests.put(put.replace('signed', 'other'), data=b'1').status_code, 403)
        late = self.bucket.sign_url('GET', 'signed/put', 1)
        time.sleep(2.1)
        answer = requests.get(late)
        self.assertEqual(answer.status_code, 403)
        self.assertIn('<Code>AccessDenied</Code><Message>Request has expired.</Message>', answer.text)

    # What there is not

    def test_what_is_not_offered_is_refused(self):
        self.bucket.put_object('plain', b'1')
        self.refused(501, 'NotImplemented', self.bucket.put_symlink, 'plain', 'link')
        self.refused(501, 'NotImplemented', self.bucket.append_object, 'appended', 0, b'1')
        self.refused(501, 'NotImplemented', self.bucket.put_object, 'plain', b'2', headers={'x-oss-tagging': 'a=b'})
        self.refused(501, 'NotImplemented', self.bucket.get_object, 'plain', process='image/resize,w_10')
        self.refused(501, 'NotImplemented', self.bucket.get_bucket_versioning)
        self.refused(501, 'NotImplemented', self.bucket.get_object, 'plain', params={'versionId': '1'})
        self.assertEqual(self.bucket.get_object('plain').read(), b'1')

    def test_names_that_can_not_be(self):
        self.refused(400, 'InvalidObjectName', self.bucket.put_object, 'x' * 1024, b'1')
        self.refused(400, 'InvalidObjectName', self.bucket.put_object, 'a\0b', b'1')
        self.bucket.put_object('/'.join(['x' * 255] * 4), b'1')
        # A file's name has at most 255 bytes.
        self.refused(501, 'NotImplemented', self.bucket.put_object, 'x' * 256, b'1')
        # A directory does not keep '..' beside '../up', so each has a bucket of its own.
        for number, key in enumerate(['..', '../up', 'a/../b', './a', 'a//b', 'a/', '.', 'a/.lathe/b', '.lathe']):
            odd = bucket(name='%s-odd-%d' % (NAME, number))
            odd.create_bucket()
            names = ['odd/' + key]
            # Before it sends them, the client takes '/bucket/..' and '/bucket/.' for other paths.
            if key not in ('..', '.'):
                names.append(key)
            for name in names:
                odd.put_object(name, key.encode())
                self.assertEqual(odd.get_object(name).read(), key.encode())
            self.assertEqual(sorted(one.key for one in oss2.ObjectIterator(odd)), sorted(names))
        self.refused(404, 'NoSuchBucket', bucket(name=NAME + '-none').put_object, 'k', b'1')
        answer = requests.put(ENDPOINT + '/No_Bucket', headers={})
        self.assertEqual(answer.status_code, 403)


if __name__ == '__main__':
    unittest.main()
