"""What somebody who means harm gets: nothing. A row of THREAT_MODEL.md names each test."""
import json
import os
import resource
import socket
import stat
import threading
import time
import unittest
import urllib.parse
import uuid

import oss2

import rpc
from clients import bucket, wait_for
from fault_checks import keys_in
from service import BUCKET, LATHE, REGION, Service, content, run

REQUEST_ID = r'^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$'

# What is put where a parameter should be.
HOSTILE = [
    '../../../../tmp/lathe-was-here', '..', '/etc/passwd', 'a/../../b', '..%2f..%2fx', '\r\nX-Injected: yes\r\n\r\n', '%0d%0aX-Injected:%20yes',
    "' OR '1'='1", '"; DROP TABLE task; --', 'a\0b', '\u202e\u0000\uffff', 'ü' * 200, '<script>alert(1)</script>', ']]><Code>x</Code>',
    '${jndi:ldap://127.0.0.1/x}', '$(touch /tmp/lathe-was-here)', '`id`', 'x' * 5000, ' ', '-1', '99999999999999999999', '1e9', 'null',
    '\udcff\udcfe',
]


class Security(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = service = Service()
        cls.addClassCleanup(service.close)
        cls.disk = os.path.join(service.folder, 'disk.raw')
        with open(cls.disk, 'wb') as file:
            file.write(content(1 << 20, 1))
        cls.image = service.add_image('mine', cls.disk)
        cls.task = service.call('ExportImage', RegionId=REGION, ImageId=cls.image, OSSBucket=BUCKET, OSSPrefix='mine', ImageFormat='qcow2')['TaskId']
        service.ended(service.client('core'), cls.task)
        cls.other = service.add_account()
        # They are left alone while everything else is tried, and asked for at the end.
        cls.still = [StandingStill(service.endpoint, text) for text in (
            b'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nx', b'GET / HT', b'GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n')]

    def wants_nothing(self, answer, codes, statuses=(400, 403, 404)):
        """Wants a refusal that tells what the reference says it does, and nothing of what is here."""
        self.assertIn(answer.status, statuses, answer)
        self.assertIn(answer.code, codes, answer)
        for secret in (self.service.secret, self.service.folder, self.image, self.task, self.service.account):
            self.assertNotIn(secret.encode(), answer.body)
        self.assertRegex(answer.json['RequestId'], REQUEST_ID)

    def exports(self):
        return {one['TaskId'] for one in self.service.call('DescribeTasks', RegionId=REGION, PageSize='100')['TaskSet']['Task']}

    # Signatures

    def test_a_request_without_a_signature_gets_nothing(self):
        at = self.service.endpoint
        for method in ('GET', 'POST'):
            answer = rpc.send(at, method, '/?Action=DescribeImages&Version=2014-05-26&Format=JSON&RegionId=' + REGION)
            self.wants_nothing(answer, ('MissingParameter', 'IncompleteSignature', 'MissingAccessKeyId'))
        signed = rpc.v1(self.service.key, self.service.secret, 'DescribeImages', {'RegionId': REGION})
        for name in ('Signature', 'AccessKeyId', 'SignatureNonce', 'Timestamp', 'SignatureMethod', 'SignatureVersion'):
            less = {key: value for key, value in signed.items() if key != name}
            answer = rpc.send(at, 'GET', '/?' + urllib.parse.urlencode(less))
            self.assertGreaterEqual(answer.status, 400, (name, answer))
            self.assertNotIn(self.image.encode(), answer.body)

    def test_a_wrong_signature_gets_nothing(self):
        service = self.service
        for call in (rpc.call_v1, rpc.call_v3):
            self.wants_nothing(call(service.endpoint, service.key, 'wrong', 'DescribeImages', {'RegionId': REGION}), ('SignatureDoesNotMatch',))
            self.wants_nothing(call(service.endpoint, 'LTAInobody', 'wrong', 'DescribeImages', {'RegionId': REGION}), ('InvalidAccessKeyId.NotFound',))
            # A key of another account signs with its own secret under our ID.
            self.wants_nothing(call(service.endpoint, service.key, self.other.secret, 'DescribeImages', {'RegionId': REGION}), ('SignatureDoesNotMatch',))
        # Every part of what is signed is held to: one that is changed behind it is refused.
        signed = rpc.v1(service.key, service.secret, 'DescribeImages', {'RegionId': REGION})
        for name in ('Action', 'RegionId', 'Timestamp', 'SignatureNonce'):
            value = {'Action': 'DescribeTasks', 'RegionId': 'cn-beijing', 'Timestamp': rpc.stamp(time.time() + 1), 'SignatureNonce': 'other'}[name]
            answer = rpc.send(service.endpoint, 'GET', '/?' + urllib.parse.urlencode(dict(signed, **{name: value})))
            self.assertEqual((answer.status, answer.code), (400, 'SignatureDoesNotMatch'), name)
        more = rpc.send(service.endpoint, 'GET', '/?' + urllib.parse.urlencode(dict(signed, ImageName='x')))
        self.assertEqual(more.code, 'SignatureDoesNotMatch')
        host = urllib.parse.urlparse(service.endpoint).netloc
        query, headers = rpc.v3(service.key, service.secret, 'DescribeImages', {'RegionId': REGION}, host)
        for name, value in (('x-acs-action', 'DescribeTasks'), ('x-acs-date', rpc.stamp(time.time() + 1)), ('x-acs-signature-nonce', 'other')):
            answer = rpc.send(service.endpoint, 'POST', '/?' + query, dict(headers, **{name: value}))
            self.assertEqual(answer.code, 'SignatureDoesNotMatch', name)
        answer = rpc.send(service.endpoint, 'POST', '/?' + query, dict(headers, **{'content-type': 'application/x-www-form-urlencoded'}), 'ImageName=x')
        self.assertGreaterEqual(answer.status, 400, 'a body that was not signed')

    def test_a_header_that_is_not_signed_decides_nothing(self):
        service = self.service
        host = urllib.parse.urlparse(service.endpoint).netloc
        query, headers = rpc.v3(service.key, service.secret, 'DescribeRegions', {'RegionId': REGION}, host)
        for name in ('x-acs-action', 'x-acs-date', 'x-acs-signature-nonce', 'host'):
            # The signature is right for the headers that it names; this one is left out of them.
            signed = {key: value for key, value in headers.items() if key not in ('authorization', 'accept')}
            del signed[name]
            answer = rpc.send(service.endpoint, 'POST', '/?' + query, dict(resigned(service, query, signed), **{name: headers[name]}))
            if name != 'host':
                self.assertGreaterEqual(answer.status, 400, name)

    def test_a_replayed_request_gets_nothing(self):
        # One of its own, since it is killed.
        with Service() as service:
            request = '/?' + urllib.parse.urlencode(rpc.v1(service.key, service.secret, 'DescribeImages', {'RegionId': REGION}))
            query, headers = rpc.v3(service.key, service.secret, 'DescribeImages', {'RegionId': REGION}, urllib.parse.urlparse(service.endpoint).netloc)
            for time_of in ('at once', 'after a restart'):
                if time_of == 'at once':
                    self.assertEqual(rpc.send(service.endpoint, 'GET', request).status, 200)
                    self.assertEqual(rpc.send(service.endpoint, 'POST', '/?' + query, headers).status, 200)
                else:
                    service.kill()
                    service.restart()
                self.wants_nothing(rpc.send(service.endpoint, 'GET', request), ('SignatureNonceUsed',))
                self.wants_nothing(rpc.send(service.endpoint, 'POST', '/?' + query, headers), ('SignatureNonceUsed',))
            # A nonce is a key's own, and another one with the same request is no replay.
            self.assertEqual(rpc.call_v3(service.endpoint, service.key, service.secret, 'DescribeImages', {'RegionId': REGION}).status, 200)

    def test_a_request_of_another_time_gets_nothing(self):
        service = self.service
        for shift in (-16 * 60, 16 * 60, -86400 * 365):
            for call in (rpc.call_v1, rpc.call_v3):
                self.wants_nothing(call(service.endpoint, service.key, service.secret, 'DescribeImages', {'RegionId': REGION}, shift=shift), ('InvalidTimeStamp.Expired',))
        for shift in (-14 * 60, 14 * 60):
            self.assertEqual(rpc.call_v3(service.endpoint, service.key, service.secret, 'DescribeImages', {'RegionId': REGION}, shift=shift).status, 200)

    def test_a_parameter_that_is_there_twice_is_refused(self):
        service = self.service
        signed = rpc.v1(service.key, service.secret, 'DescribeImages', {'RegionId': REGION})
        answer = rpc.send(service.endpoint, 'POST', '/?' + urllib.parse.urlencode(signed), {'content-type': 'application/x-www-form-urlencoded'}, 'RegionId=cn-beijing')
        self.assertGreaterEqual(answer.status, 400, answer)

    # Injection

    def test_hostile_parameters_leave_no_trace(self):
        service = self.service
        before, objects = self.exports(), keys_in(os.path.join(service.data, 'objects'))
        around = set(os.listdir(service.folder))
        plain = {'ExportImage': {'RegionId': REGION, 'ImageId': self.image, 'OSSBucket': BUCKET, 'OSSPrefix': 'x', 'ImageFormat': 'raw', 'RoleName': 'AliyunECSImageExportDefaultRole'},
                 'ImportImage': {'RegionId': REGION, 'ImageName': 'imported', 'DiskDeviceMapping.1.OSSBucket': BUCKET, 'DiskDeviceMapping.1.OSSObject': 'nothing', 'DiskDeviceMapping.1.Format': 'RAW'},
                 'DescribeTasks': {'RegionId': REGION, 'TaskIds': self.task, 'TaskStatus': 'Finished', 'PageNumber': '1', 'PageSize': '10', 'StartTime': '2026-01-01T00:00:00Z'},
                 'DescribeTaskAttribute': {'RegionId': REGION, 'TaskId': self.task}, 'CancelTask': {'RegionId': REGION, 'TaskId': self.task},
                 'DescribeImages': {'RegionId': REGION, 'ImageId': self.image, 'ImageName': 'mine'},
                 'VerifyExportedObject': {'RegionId': REGION, 'TaskId': self.task, 'OSSObject': 'x'},
                 'AssumeRole': {'RoleArn': 'acs:ram::%s:role/x' % service.account, 'RoleSessionName': 'name', 'Policy': '{}', 'DurationSeconds': '900'}}
        count = 0
        for action, parameters in plain.items():
            for name in parameters:
                for index, value in enumerate(HOSTILE):
                    answer = rpc.call_v1(service.endpoint, service.key, service.secret, action, dict(parameters, **{name: value}), method='POST' if index % 2 else 'GET', form=index % 4 == 1)
                    count += 1
                    what = (action, name, value[:40], answer)
                    self.assertLess(answer.status, 500, what)
                    self.assertNotIn('x-injected', answer.headers, what)
                    self.assertTrue(all(word.isprintable() for word in answer.headers.values()), what)
                    # What can't be read at all does not say either in which form it wants its answer.
                    if answer.status == 200 or not answer.body.startswith(b'<?xml'):
                        self.assertIsInstance(answer.json, dict, what)
                    self.assertNotIn(service.data.encode(), answer.body, what)
        self.assertGreater(count, 500)
        for task in self.exports() - before:
            service.ended(service.client('core'), task)
        # A word of letters and digits is a prefix like any other; what it makes has that name and no other.
        for key in keys_in(os.path.join(service.data, 'objects')) - objects:
            self.assertRegex(key, r'^%s/([A-Za-z0-9]{1,30}_)?%s_system\.raw\.tar\.gz(\.manifest\.json)?$' % (BUCKET, self.image))
        # Nothing new beside the data, and nothing anywhere of the one name that says so.
        self.assertEqual(set(os.listdir(service.folder)) - around, set())
        self.assertFalse(os.path.exists('/tmp/lathe-was-here'))
        self.assertEqual(service.call('DescribeTaskAttribute', RegionId=REGION, TaskId=self.task)['TaskStatus'], 'Finished')

    def test_hostile_headers_and_lines_leave_no_trace(self):
        at = urllib.parse.urlparse(self.service.endpoint).netloc
        for text in (
            'GET /?Action=%0d%0aX-Injected:%20yes HTTP/1.1\r\nHost: {0}\r\nConnection: close\r\n\r\n', 'GET /%0d%0aX-Injected:%20yes HTTP/1.1\r\nHost: {0}\r\nConnection: close\r\n\r\n',
            'GET /console/../../../../etc/passwd HTTP/1.1\r\nHost: {0}\r\nConnection: close\r\n\r\n', 'GET /console/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: {0}\r\nConnection: close\r\n\r\n',
            'GET / HTTP/1.1\r\nHost: {0}\r\nHost: other\r\nConnection: close\r\n\r\n', 'GET / HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n',
            'POST / HTTP/1.1\r\nHost: {0}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n', 'POST / HTTP/1.1\r\nHost: {0}\r\nContent-Length: -1\r\nConnection: close\r\n\r\n',
            'POST / HTTP/1.1\r\nHost: {0}\r\nContent-Length: 99999999999999999999\r\nConnection: close\r\n\r\n', 'BREW / HTTP/1.1\r\nHost: {0}\r\nConnection: close\r\n\r\n', '\0\1\2\3\r\n\r\n', 'GET\r\n\r\n',
        ):
            answer = rpc.raw(self.service.endpoint, text.format(at).encode(), 90)
            self.assertNotIn(b'\nx-injected', answer.lower(), text)
            self.assertNotIn(b'root:', answer, text)
            self.assertFalse(answer.startswith(b'HTTP/1.1 5'), (text, answer[:300]))
        self.assertEqual(self.service.answer('DescribeRegions').status, 200)

    # One account against another's

    def test_another_account_sees_and_exports_nothing(self):
        service, other = self.service, self.other
        mine = {'RegionId': REGION}

        def ask(action, **parameters):
            return rpc.call_v3(service.endpoint, other.key, other.secret, action, dict(mine, **parameters))
        for action, count in (('DescribeImages', 1), ('DescribeTasks', 0), ('DescribeExportedObjects', 0)):
            answer = ask(action)
            self.assertEqual((answer.status, answer.json['TotalCount']), (200, count), answer)
            self.assertNotIn(self.image.encode(), answer.body)
        self.assertNotIn(BUCKET, [one['Name'] for one in ask('DescribeBuckets').json['Buckets']['Bucket']])
        self.assertEqual(ask('DescribeImages', ImageId=self.image).json['TotalCount'], 0)
        self.assertEqual(ask('DescribeTasks', TaskIds=self.task).json['TotalCount'], 0)
        # What is somebody else's and what is not there are told in the same words.
        nobody = {'ImageId': 'm-aaaaaaaaaaaaaaaaaaaa', 'TaskId': 'tsk-aaaaaaaaaaaaaaaaaaaa', 'OSSBucket': 'no-such-bucket'}
        for action, parameters, name in (
            ('ExportImage', {'ImageId': self.image, 'OSSBucket': other.bucket}, 'ImageId'),
            ('ExportImage', {'ImageId': other.image, 'OSSBucket': BUCKET}, 'OSSBucket'),
            ('DescribeTaskAttribute', {'TaskId': self.task}, 'TaskId'), ('CancelTask', {'TaskId': self.task}, 'TaskId'),
            ('VerifyExportedObject', {'TaskId': self.task, 'OSSObject': 'mine_%s_system.qcow2' % self.image}, 'TaskId'),
            ('DescribeExportedObjects', {'TaskId': self.task}, 'TaskId'),
        ):
            theirs, none = ask(action, **parameters), ask(action, **dict(parameters, **{name: nobody[name]}))
            self.assertGreaterEqual(theirs.status, 400, (action, theirs))
            self.assertEqual((theirs.status, theirs.code, theirs.json['Message']), (none.status, none.code, none.json['Message']), action)
        imported = ask('ImportImage', ImageName='stolen', **{'DiskDeviceMapping.1.OSSBucket': BUCKET, 'DiskDeviceMapping.1.OSSObject': 'mine_%s_system.qcow2' % self.image})
        self.assertEqual(imported.code, 'InvalidOSSBucket.NotFound', imported)
        answer = rpc.call_v3(service.endpoint, other.key, other.secret, 'AssumeRole', {'RoleArn': 'acs:ram::%s:role/AliyunECSImageExportDefaultRole' % service.account, 'RoleSessionName': 'thief'})
        self.assertGreaterEqual(answer.status, 400, answer)

    def test_another_account_has_no_way_into_a_bucket(self):
        service, other = self.service, self.other
        key = 'mine_%s_system.qcow2' % self.image
        theirs = bucket(service.oss_endpoint, other.key, other.secret, BUCKET)
        for call in (lambda: theirs.get_object(key), lambda: theirs.head_object(key), lambda: theirs.put_object('x', b'1'), lambda: theirs.delete_object(key),
                     lambda: theirs.list_objects(), lambda: theirs.init_multipart_upload('x'), lambda: theirs.get_bucket_info(), lambda: theirs.copy_object(BUCKET, key, 'copy'),
                     lambda: bucket(service.oss_endpoint, other.key, other.secret, other.bucket).copy_object(BUCKET, key, 'copy'), lambda: theirs.create_bucket(), lambda: theirs.delete_bucket()):
            with self.assertRaises(oss2.exceptions.OssError) as caught:
                call()
            self.assertIn(caught.exception.status, (403, 404, 409))
        with self.assertRaises(oss2.exceptions.OssError) as caught:
            oss2.Bucket(oss2.AnonymousAuth(), service.oss_endpoint, BUCKET).get_object(key).read()
        self.assertEqual(caught.exception.status, 403)
        names = [one.name for one in oss2.BucketIterator(oss2.Service(oss2.AuthV4(other.key, other.secret), service.oss_endpoint, region=REGION))]
        self.assertNotIn(BUCKET, names)
        self.assertTrue(service.oss().object_exists(key))

    # Secrets

    def test_secrets_are_for_their_owner_alone(self):
        service = self.service
        self.assertEqual(stat.S_IMODE(os.stat(service.data).st_mode), 0o700)
        for name in os.listdir(service.data):
            if name.startswith('lathe.db'):
                self.assertEqual(stat.S_IMODE(os.stat(os.path.join(service.data, name)).st_mode), 0o600, name)
        service.answer('DescribeRegions')
        with open(service.log) as log:
            text = log.read()
        self.assertNotIn(service.secret, text)
        self.assertNotIn(self.other.secret, text)
        for path in ('/metrics', '/healthz', '/readyz', '/console'):
            answer = rpc.send(service.endpoint, 'GET', path)
            for secret in (service.secret, service.key, service.folder):
                self.assertNotIn(secret.encode(), answer.body, path)

    def test_the_page_lets_no_other_code_in(self):
        answer = rpc.send(self.service.endpoint, 'GET', '/console')
        self.assertEqual(answer.status, 200)
        self.assertIn("default-src 'self'", answer.headers['content-security-policy'])
        self.assertNotIn('unsafe', answer.headers['content-security-policy'])
        self.assertEqual(answer.headers['x-content-type-options'], 'nosniff')
        self.assertNotRegex(answer.body.decode(), r'<script(?![^>]*src=)|<style|style=|\son\w+=|https?://')
        # Other pages can't ask in the user's name: nothing here goes by a cookie, and no origin is allowed.
        answer = rpc.send(self.service.endpoint, 'OPTIONS', '/', {'origin': 'http://evil.example', 'access-control-request-method': 'POST'})
        self.assertNotIn('access-control-allow-origin', answer.headers)

    # What is too much

    def test_requests_that_are_too_large_are_refused(self):
        service = self.service
        before = service.process.resident()
        large = rpc.v1(service.key, service.secret, 'DescribeImages', {'RegionId': REGION, 'ImageName': 'x' * (2 << 20)}, 'POST')
        form = {'content-type': 'application/x-www-form-urlencoded'}
        self.assertIn(sent_or_cut(service.endpoint, 'POST', '/', form, urllib.parse.urlencode(large)), (400, 413, None))
        self.assertIn(sent_or_cut(service.endpoint, 'GET', '/?x=' + 'x' * (1 << 20), {}, None), (400, 413, 414, 431, None))
        self.assertIn(sent_or_cut(service.endpoint, 'GET', '/', {'x-large': 'x' * (1 << 20)}, None), (400, 413, 431, None))
        many = '/?' + '&'.join('Tag.%d.Key=x' % index for index in range(6000))
        self.assertIn(sent_or_cut(service.endpoint, 'GET', many, {}, None), (400, 413, 414, 431, None))
        # A body without end is cut off, and nobody keeps it in memory.
        at = urllib.parse.urlparse(service.endpoint)
        with socket.create_connection((at.hostname, at.port), timeout=60) as endless:
            endless.sendall(b'POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n')
            sent = 0
            try:
                while sent < 512 << 20:
                    endless.sendall(b'10000\r\n' + b'x' * 0x10000 + b'\r\n')
                    sent += 0x10000
            except OSError:
                pass
        self.assertLess(sent, 512 << 20)
        self.assertLess(service.process.resident() - before, 64 << 20)
        self.assertEqual(service.answer('DescribeRegions').status, 200)

    def test_clients_that_stand_still_keep_nobody_out(self):
        service = self.service
        at = urllib.parse.urlparse(service.endpoint)
        idle = []
        try:
            for index in range(100):
                connection = socket.create_connection((at.hostname, at.port), timeout=60)
                connection.sendall(b'POST /?Action=x HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n' + (b'\r\nx' if index % 2 else b'X-Slow: '))
                idle.append(connection)
            began = time.monotonic()
            for _ in range(20):
                self.assertEqual(service.answer('DescribeRegions').status, 200)
            self.assertLess(time.monotonic() - began, 20)
        finally:
            for connection in idle:
                connection.close()

    def test_a_crowd_without_a_key_keeps_nobody_out(self):
        # One of its own: what a crowd leaves behind in memory is measured.
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
        with Service() as service:
            ports = [urllib.parse.urlparse(one).port for one in (service.endpoint, service.oss_endpoint)]
            service.answer('DescribeRegions')
            before = service.process.resident()
            for addresses in (1, 30, 300):
                crowd = []
                try:
                    for port in ports:
                        for index in range(900):
                            one = socket.socket()
                            one.bind(('127.%d.%d.%d' % (1 + addresses % 7, index % addresses // 250, 1 + index % addresses % 250), 0))
                            one.setblocking(False)
                            one.connect_ex(('127.0.0.1', port))
                            crowd.append(one)
                    for text in (b'GET /x HTTP/1.1\r\nHost: h\r\nX-D: ',) + (b'x',) * 10:
                        for one in crowd:
                            try:
                                one.send(text)
                            except OSError:
                                pass
                    began = time.monotonic()
                    self.assertEqual(service.answer('DescribeRegions').status, 200)
                    service.oss().put_object('in-a-crowd', b'x')
                    # It was half a minute, which is what they were given each.
                    self.assertLess(time.monotonic() - began, 8, addresses)
                finally:
                    for one in crowd:
                        one.close()
            # It was 200 MiB and more.
            self.assertLess(service.process.resident() - before, 120 << 20)

    def test_what_stands_still_is_let_go(self):
        for one in self.still:
            one.thread.join(60)
            self.assertIsNotNone(one.seconds, one.text)
            self.assertLess(one.seconds, 50, one.text)


class StandingStill:
    """A client that sends the beginning of something, and then nothing."""

    def __init__(self, endpoint, text):
        self.text, self.seconds = text, None
        self.thread = threading.Thread(target=self.run, args=(endpoint,), daemon=True)
        self.thread.start()

    def run(self, endpoint):
        began = time.monotonic()
        rpc.raw(endpoint, self.text, 300)
        self.seconds = time.monotonic() - began


def resigned(service, query, headers):
    """A V3 signature over just these headers."""
    import hashlib
    import hmac
    names = sorted(headers)
    request = '\n'.join(['POST', '/', query, ''.join('%s:%s\n' % (name, headers[name]) for name in names), ';'.join(names),
                         headers.get('x-acs-content-sha256', hashlib.sha256(b'').hexdigest())])
    string = 'ACS3-HMAC-SHA256\n' + hashlib.sha256(request.encode()).hexdigest()
    signature = hmac.new(service.secret.encode(), string.encode(), hashlib.sha256).hexdigest()
    return dict(headers, accept='application/json', authorization='ACS3-HMAC-SHA256 Credential=%s,SignedHeaders=%s,Signature=%s' % (service.key, ';'.join(names), signature))


def sent_or_cut(endpoint, method, target, headers, body):
    """The status of the answer; None where the connection was cut instead."""
    try:
        return rpc.send(endpoint, method, target, headers, body).status
    except (OSError, rpc.http.client.HTTPException):
        return None


if __name__ == '__main__':
    unittest.main()
