"""`lathe serve` as its users run it, and the vendor's SDKs as its clients; the binary's path is in LATHE."""
import ctypes
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import oss2

import rpc
from clients import bucket, client, wait_for

LATHE = os.environ['LATHE']
REGION = 'cn-hangzhou'
BUCKET = 'lathe-exports'
FORMATS = ['raw', 'vhd', 'qcow2', 'vmdk', 'vdi']
EXTENSIONS = {'raw': 'raw.tar.gz', 'vhd': 'vhd', 'qcow2': 'qcow2', 'vmdk': 'vmdk', 'vdi': 'vdi'}
QEMU_NAMES = {'vhd': 'vpc'}
OVER = ('Finished', 'Failed', 'Deleted')


def leashed():
    """A child ends with us, however we end."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def run(*arguments, check=True, **more):
    """Runs a program to its end."""
    outcome = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, preexec_fn=leashed, **more)
    if check and outcome.returncode != 0:
        raise AssertionError('%s: exit %d\n%s%s' % (' '.join(arguments), outcome.returncode, outcome.stdout, outcome.stderr))
    return outcome


def content(length, seed):
    """Disk content from a seed: random bytes, text, one byte repeated, and zeros."""
    generator, pieces, left = random.Random(seed), [], length
    while left > 0:
        count = min(left, generator.randint(1, 256 << 10))
        kind = generator.randrange(5)
        if kind == 0:
            pieces.append(generator.randbytes(count))
        elif kind == 1:
            pieces.append((b'The quick brown fox places clusters. ' * (count // 37 + 1))[:count])
        elif kind == 2:
            pieces.append(bytes([generator.randint(1, 255)]) * count)
        else:
            pieces.append(bytes(count))
        left -= count
    return b''.join(pieces)


class Process:
    """A server that prints JSON when it listens; it ends with its owner."""

    def __init__(self, *arguments, environment=None, log=None):
        self.log = open(log, 'ab') if log else subprocess.DEVNULL
        self.child = subprocess.Popen(
            [LATHE, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, preexec_fn=leashed,
            env=dict(os.environ, **(environment or {})))
        text = b''
        while True:
            line = self.child.stdout.readline()
            if not line:
                said = open(log).read()[-4000:] if log else ''
                raise AssertionError('it does not serve: exit %s\n%s\n%s' % (self.child.wait(), text.decode(), said))
            text += line
            try:
                self.greeting = json.loads(text)
                break
            except ValueError:
                continue
        # Nobody reads on; a pipe that is full would stop it.
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self):
        while self.child.stdout.read(1 << 16):
            pass

    def end(self, how=signal.SIGTERM, seconds=60):
        """Ends it, and answers its exit code."""
        if self.child.poll() is None:
            self.child.send_signal(how)
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise AssertionError('the server did not end within %d s' % seconds)
        finally:
            if self.log is not subprocess.DEVNULL:
                self.log.close()

    def resident(self):
        """Bytes of memory that it has."""
        with open('/proc/%d/status' % self.child.pid) as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith('VmRSS:'))


class Service:
    """The service over a data directory of its own, with an account, a key, a role, a region and a bucket."""

    def __init__(self, *options, folder=None, data=None, environment=None, places=True):
        self.folder = folder or tempfile.mkdtemp(prefix='lathe-test-service-')
        self.data = data or os.path.join(self.folder, 'data')
        self.options, self.environment = list(options), environment
        if places:
            self.options += ['--data-directory', self.data]
        self.log = os.path.join(self.folder, 'serve.log')
        self.images = {}
        self.first = self.start()
        self.data = self.first['directory']
        # Tests export more at a time than people do.
        self.set_account(concurrent=100, weekly=10_000)

    def start(self):
        self.process = Process(
            'serve', '--output', 'json', *self._ports(), *self.options,
            environment=self.environment, log=self.log)
        said = self.process.greeting
        self.endpoint, self.oss_endpoint = said['endpoint'], said.get('ossEndpoint')
        if 'accessKeySecret' in said:
            self.key, self.secret, self.account = said['accessKeyId'], said['accessKeySecret'], said['accountId']
        return said

    def close(self):
        try:
            self.process.end(signal.SIGKILL)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def kill(self):
        self.process.end(signal.SIGKILL)

    def stop(self):
        return self.process.end(signal.SIGTERM)

    def restart(self):
        """Starts it again, on the ports that it had."""
        return self.start()

    def _ports(self):
        """Any ports that are free at first, and the same ones from then on."""
        known = hasattr(self, 'endpoint')
        ports = ['--port', self.endpoint.rsplit(':', 1)[1] if known else '0']
        if '--oss-endpoint' not in self.options:
            ports += ['--oss-port', self.oss_endpoint.rsplit(':', 1)[1] if known else '0']
        return ports

    # What administrators do

    def apply(self, **document):
        """`lathe admin apply`, with a document in a file."""
        path = os.path.join(self.folder, 'apply.json')
        with open(path, 'w') as file:
            json.dump(document, file)
        return run(LATHE, 'admin', 'apply', '--data-directory', self.data, path)

    def apply_account(self, **fields):
        return self.apply(accounts=[dict({'id': self.account}, **fields)])

    def set_account(self, may_export=None, data_disks=None, concurrent=None, weekly=None):
        fields = {'mayExport': may_export, 'exportsDataDisks': data_disks}
        quotas = {'concurrentExports': concurrent, 'weeklyExports': weekly}
        self.apply_account(quotas={name: value for name, value in quotas.items() if value is not None},
                           **{name: value for name, value in fields.items() if value is not None})

    def add_image(self, name, path, data=(), account=None):
        """`lathe image add`. Answers the ID."""
        arguments = [LATHE, 'image', 'add', '--data-directory', self.data, '--account', account or self.account, '--region', REGION, '--name', name, '--output', 'json']
        for disk in data:
            arguments += ['--data', disk]
        self.images[name] = json.loads(run(*arguments, path).stdout)['id']
        return self.images[name]

    def set_image(self, image, status=None, encrypted=None, product=None, licence=None):
        """`lathe image set`."""
        arguments = [LATHE, 'image', 'set', '--data-directory', self.data]
        for option, value in (('--status', status), ('--product-code', product), ('--license-restriction', licence)):
            if value is not None:
                arguments += [option, value]
        if encrypted:
            arguments.append('--encrypted')
        run(*arguments, image)

    def add_region(self, region, supports=True):
        self.apply(regions=[{'id': region, 'localName': region, 'supportsExport': supports}])

    def add_bucket(self, name, region=REGION):
        self.apply_account(buckets=[{'name': name, 'region': region}])

    def make_bucket(self, name, storage):
        """A bucket that the vendor's client makes, of a storage class."""
        self.oss(name).create_bucket(oss2.BUCKET_ACL_PRIVATE, oss2.models.BucketCreateConfig(storage))

    def encrypt(self, name, algorithm):
        self.oss(name).put_bucket_encryption(oss2.models.ServerSideEncryptionRule(sse_algorithm=algorithm))

    def add_role(self, name, trust, allow, deny=(), resource='*'):
        statements = [{'Effect': 'Allow', 'Action': list(allow), 'Resource': resource}]
        if deny:
            statements.append({'Effect': 'Deny', 'Action': list(deny), 'Resource': '*'})
        self.apply_account(
            policies=[{'name': name + 'Policy', 'document': {'Version': '1', 'Statement': statements}}],
            roles=[{'name': name, 'policies': [name + 'Policy'], 'trustPolicy': {
                'Version': '1', 'Statement': [{'Action': 'sts:AssumeRole', 'Effect': 'Allow', 'Principal': trust}]}}])

    def add_account(self):
        """Another account, with a key, a bucket and an image of its own."""
        other = Account()
        other.key, other.secret, other.bucket = 'LTAIotheraccount', 'other-secret-0123456789', 'others-bucket'
        self.apply(accounts=[{'id': '2222333344445555', 'name': 'other', 'keys': [{'id': other.key, 'secret': other.secret}],
                              'buckets': [{'name': other.bucket, 'region': REGION}]}])
        disk = os.path.join(self.folder, 'others.raw')
        with open(disk, 'wb') as file:
            file.write(content(1 << 20, 99))
        other.image = self.add_image('others', disk, account='2222333344445555')
        return other

    # What clients do

    def client(self, kind):
        return client(kind, self.endpoint, self.key, self.secret)

    def oss(self, name=BUCKET):
        return bucket(self.oss_endpoint, self.key, self.secret, name)

    def answer(self, action, **parameters):
        """What the API answers, refusals too."""
        return rpc.call_v3(self.endpoint, self.key, self.secret, action, parameters)

    def call(self, action, **parameters):
        answer = self.answer(action, **parameters)
        if answer.status != 200:
            raise AssertionError('%s: %s' % (action, answer))
        return answer.json

    def ended(self, api, task, seconds=120):
        """Waits for the end of a task, and answers what is known of it."""
        def look():
            one = api.call('DescribeTaskAttribute', RegionId=REGION, TaskId=task)
            return one if one['TaskStatus'] in OVER else None
        return wait_for(look, seconds, 'the end of task ' + task)

    def slow_disk(self, mebibytes=512):
        """A disk whose export as raw.tar.gz takes a while: nothing in it can be passed over."""
        path = os.path.join(self.folder, 'slow%d.raw' % mebibytes)
        if not os.path.exists(path):
            block = os.urandom(1 << 16)
            with open(path, 'wb') as file:
                for index in range(mebibytes * 16):
                    file.write(index.to_bytes(8, 'little') + block[8:])
        return path


class Account:
    """What is known of an account beside the first."""
