"""What happens to exports when the server is killed, its disk is full, or the store is away."""
import hashlib
import os
import random
import sqlite3
import subprocess
import tarfile
import tempfile
import time
import unittest

import oss2

from clients import Refused, bucket, wait_for
from service import BUCKET, EXTENSIONS, FORMATS, LATHE, OVER, REGION, Process, Service, content, leashed, run


def digest(path):
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


class Bytes:
    """What the objects of a disk must be: made offline, by `lathe export` into a directory."""

    def __init__(self, folder):
        self.folder = os.path.join(folder, 'offline')
        os.makedirs(os.path.join(self.folder, BUCKET))

    def of(self, disk, format, key):
        """The digest of an object; its name is in it, where it is a package."""
        more = ['-o', 'package=tar.gz,member=' + key[:-len('.tar.gz')]] if format == 'raw' else []
        run(LATHE, 'export', '-q', '--endpoint', self.folder, '--bucket', BUCKET, '--object', key, '--overwrite', '-f', 'raw',
            '-O', format, *more, disk)
        return digest(os.path.join(self.folder, BUCKET, key))


def keys_in(folder):
    """The objects of a bucket of the embedded store, as its directory has them."""
    found = set()
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith('.lathe')]
        found.update(os.path.relpath(os.path.join(path, name), folder) for name in files if not name.startswith('.lathe'))
    return found


class Kills(unittest.TestCase):
    """SIGKILL at random moments of twenty exports."""
    kills = 12

    def test_kills_during_twenty_exports(self):
        seed = int(os.environ.get('LATHE_SEED') or random.SystemRandom().getrandbits(64))
        print('kills during twenty exports: LATHE_SEED=%d' % seed, flush=True)
        moments = random.Random(seed)
        # As many workers as there are packages, which take the longest, and two for the others.
        with Service('--workers', '6') as service:
            disks = []
            for index in range(5):
                disks.append(os.path.join(service.folder, 'disk%d.raw' % index))
                with open(disks[-1], 'wb') as file:
                    file.write(content(16 << 20, 100 + index) * 6 + bytes(512 * index))
            images = [service.add_image('image%d' % index, disks[index % 5]) for index in range(20)]
            jobs, inside = {}, 0
            # What an export takes on this machine, without a kill: the kills are within it.
            began = time.monotonic()
            undisturbed = service.client('tea').call('ExportImage', RegionId=REGION, ImageId=images[0], OSSBucket=BUCKET, ImageFormat='qcow2')['TaskId']
            wait_for(lambda: service.client('tea').call('DescribeTaskAttribute', RegionId=REGION, TaskId=undisturbed)['TaskStatus'] == 'Finished')
            whole = time.monotonic() - began
            jobs[undisturbed] = (images[0] + '_system.qcow2', disks[0], 'qcow2')
            for round in range(self.kills):
                # A few in each round: all of them at once would be over before the second kill.
                api = service.client('tea')
                for index in range(round, 20, self.kills):
                    disk, format = disks[index % 5], FORMATS[index // 4]
                    task = api.call('ExportImage', RegionId=REGION, ImageId=images[index], OSSBucket=BUCKET, OSSPrefix='kill', ImageFormat=format)['TaskId']
                    jobs[task] = ('kill_%s_system.%s' % (images[index], EXTENSIONS[format]), disk, format)
                time.sleep(moments.uniform(0, whole))
                service.kill()
                inside += self.look_at_what_was_left(service, jobs)
                service.restart()
            self.assertGreater(inside, self.kills // 3, 'too few of the kills met anything')
            api = service.client('tea')
            ends = wait_for(lambda: self.ends(api, jobs), 150, 'the end of all tasks')
            self.check_ends(service, api, jobs, ends)

    def look_at_what_was_left(self, service, jobs):
        """After a kill: the database is whole, and nothing is in sight that a task does not answer for. Answers whether any was at work."""
        with sqlite3.connect(os.path.join(service.data, 'lathe.db')) as database:
            self.assertEqual(database.execute('PRAGMA integrity_check').fetchall(), [('ok',)])
            states = dict(database.execute('SELECT id, status FROM task'))
        database.close()
        self.assertEqual(set(states), set(jobs))
        under_way = {jobs[task][0] for task, state in states.items() if state not in OVER}
        keys = keys_in(os.path.join(service.data, 'objects', BUCKET))
        for key in keys:
            if key.endswith('.manifest.json'):
                self.assertIn(key[:-len('.manifest.json')], {job[0] for job in jobs.values()})
            else:
                self.assertTrue(key + '.manifest.json' in keys or key in under_way, key)
        self.assertEqual({jobs[task][0] for task, state in states.items() if state == 'Finished'} - keys, set())
        return any(state == 'Processing' for state in states.values())

    def ends(self, api, jobs):
        tasks = api.call('DescribeTasks', RegionId=REGION, PageSize=100)['TaskSet']['Task']
        return {one['TaskId']: one['TaskStatus'] for one in tasks} if all(one['TaskStatus'] in OVER for one in tasks) else None

    def check_ends(self, service, api, jobs, ends):
        self.assertEqual(set(ends), set(jobs))
        expected = Bytes(service.folder)
        for task, (key, disk, format) in jobs.items():
            if ends[task] == 'Failed':
                step, = api.call('DescribeTaskAttribute', RegionId=REGION, TaskId=task)['OperationProgressSet']['OperationProgress']
                self.assertTrue(step['ErrorCode'] and step['ErrorMsg'], step)
                continue
            self.assertEqual(ends[task], 'Finished')
            path = os.path.join(service.data, 'objects', BUCKET, key)
            self.assertEqual(digest(path), expected.of(disk, format, key), key)
            run(LATHE, 'verify', '--manifest', path + '.manifest.json', path)
        print('%d finished, %d failed' % tuple(list(ends.values()).count(state) for state in ('Finished', 'Failed')), flush=True)
        # Nothing failed but what a kill could not be survived by, and there is no such thing.
        self.assertNotIn('Failed', ends.values())
        uploads = [one.key for one in oss2.MultipartUploadIterator(service.oss())]
        self.assertEqual(uploads, [])
        self.assertEqual(os.listdir(os.path.join(service.data, 'checkpoints')), [])


class Stop(unittest.TestCase):
    def test_a_server_that_is_asked_to_stop_goes_on_later(self):
        with Service() as service:
            disk = service.slow_disk(24)
            image = service.add_image('slow', disk)
            api = service.client('core')
            task = api.call('ExportImage', RegionId=REGION, ImageId=image, OSSBucket=BUCKET, ImageFormat='raw')['TaskId']
            wait_for(lambda: api.call('DescribeTaskAttribute', RegionId=REGION, TaskId=task)['TaskStatus'] == 'Processing')
            time.sleep(0.5)
            self.assertEqual(service.stop(), 0)
            service.restart()
            self.assertEqual(service.ended(api, task)['TaskStatus'], 'Finished')
            key = image + '_system.raw.tar.gz'
            self.assertEqual(digest(os.path.join(service.data, 'objects', BUCKET, key)), Bytes(service.folder).of(disk, 'raw', key))

    def test_a_data_directory_is_one_servers(self):
        with Service() as service:
            other = subprocess.run(
                [LATHE, 'serve', '--data-directory', service.data, '--port', '0', '--oss-port', '0'], stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=60, preexec_fn=leashed)
            self.assertNotEqual(other.returncode, 0)
            self.assertIn(service.data, other.stderr)
            self.assertEqual(service.answer('DescribeRegions').status, 200)


class FullDisk(unittest.TestCase):
    def end(self, api, task):
        """What is known of a task that is over; while there is no room for a nonce, nobody is let in."""
        try:
            one = api.call('DescribeTaskAttribute', RegionId=REGION, TaskId=task)
        except Refused as refusal:
            self.assertEqual((refusal.status, refusal.code), (503, 'ServiceUnavailable'))
            return None
        return one if one['TaskStatus'] in OVER else None

    def test_a_disk_that_is_full_fails_tasks_and_nothing_else(self):
        folder = tempfile.mkdtemp(prefix='lathe-test-full-')
        mounted = os.path.join(folder, 'data')
        os.mkdir(mounted)
        run('mount', '-t', 'tmpfs', '-o', 'size=24m,mode=0700', 'tmpfs', mounted)
        self.addCleanup(run, 'umount', '--lazy', mounted)
        with Service(folder=folder, data=mounted) as service:
            large, small = (os.path.join(folder, name) for name in ('large.raw', 'small.raw'))
            for path, length in ((large, 48 << 20), (small, 1 << 20)):
                with open(path, 'wb') as file:
                    file.write(os.urandom(length))
            api = service.client('tea')
            task = api.call('ExportImage', RegionId=REGION, ImageId=service.add_image('large', large), OSSBucket=BUCKET, ImageFormat='qcow2')['TaskId']
            one = wait_for(lambda: self.end(api, task), 150, 'the end of the task')
            self.assertEqual(one['TaskStatus'], 'Failed', one)
            step, = one['OperationProgressSet']['OperationProgress']
            self.assertTrue(step['ErrorCode'] and step['ErrorMsg'], step)
            self.assertEqual([one.key for one in oss2.ObjectIterator(service.oss())], [])
            # What it had taken is free again, and the service goes on as if nothing had been.
            task = api.call('ExportImage', RegionId=REGION, ImageId=service.add_image('small', small), OSSBucket=BUCKET, ImageFormat='qcow2')['TaskId']
            self.assertEqual(service.ended(api, task)['TaskStatus'], 'Finished')
            # No room at all, not even for the database: requests fail or pass, and what passed is there later.
            filler = os.path.join(mounted, 'filler')
            with open(filler, 'wb', buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(1 << 16))
                except OSError:
                    pass
            self.assertEqual(rpc_status(service), 200)
            answers = [service.answer('ExportImage', RegionId=REGION, ImageId=service_image, OSSBucket=BUCKET, OSSPrefix='full%d' % index)
                       for index, service_image in enumerate([service.images['small']] * 3)]
            accepted = [one.json['TaskId'] for one in answers if one.status == 200]
            self.assertTrue(all(one.status == 200 or one.json['Code'] for one in answers))
            os.unlink(filler)
            service.kill()
            service.restart()
            with sqlite3.connect(os.path.join(service.data, 'lathe.db')) as database:
                self.assertEqual(database.execute('PRAGMA integrity_check').fetchall(), [('ok',)])
            database.close()
            for task in accepted:
                self.assertIn(service.ended(api, task)['TaskStatus'], ('Finished', 'Failed'))


def rpc_status(service):
    """What the pages and probes that need no room answer."""
    import rpc
    return rpc.send(service.endpoint, 'GET', '/healthz').status


class StoreAway(unittest.TestCase):
    """The store is a real endpoint over HTTP, which goes for a while in the middle of an export."""

    def test_an_endpoint_that_is_gone_for_a_while(self):
        folder = tempfile.mkdtemp(prefix='lathe-test-away-')
        store = os.path.join(folder, 'store')
        os.makedirs(os.path.join(store, BUCKET))
        keys = ('--access-key-id', 'store-key', '--access-key-secret', 'store-secret')

        def serve(port):
            return Process('serve', '--oss-only', '--data-directory', store, '--port', str(port), *keys, '--output', 'json')
        remote = serve(0)
        self.addCleanup(lambda: remote.end(9))
        endpoint = remote.greeting['endpoint']
        with Service('--oss-endpoint', endpoint, folder=folder, environment={
                'OSS_ACCESS_KEY_ID': 'store-key', 'OSS_ACCESS_KEY_SECRET': 'store-secret', 'OSS_REGION': REGION}) as service:
            # Nobody makes a bucket in somebody else's store unasked.
            self.assertNotIn('bucket', service.process.greeting)
            run(LATHE, 'admin', 'bucket', 'create', '--elsewhere', '--data-directory', service.data, '--region', REGION, BUCKET)
            disk = service.slow_disk(24)
            api = service.client('core')
            image = service.add_image('remote', disk)
            task = api.call('ExportImage', RegionId=REGION, ImageId=image, OSSBucket=BUCKET, ImageFormat='raw')['TaskId']
            wait_for(lambda: int(api.call('DescribeTaskAttribute', RegionId=REGION, TaskId=task)['TaskProcess'][:-1]) >= 10, what='a tenth')
            remote.end(9)
            time.sleep(6)
            one = api.call('DescribeTaskAttribute', RegionId=REGION, TaskId=task)
            self.assertEqual(one['TaskStatus'], 'Processing', one)
            remote = serve(int(endpoint.rsplit(':', 1)[1]))
            self.assertEqual(service.ended(api, task)['TaskStatus'], 'Finished')
            key = image + '_system.raw.tar.gz'
            self.assertEqual(digest(os.path.join(store, BUCKET, key)), Bytes(folder).of(disk, 'raw', key))
            theirs = bucket(endpoint, 'store-key', 'store-secret', BUCKET)
            self.assertEqual([one.key for one in oss2.MultipartUploadIterator(theirs)], [])


if __name__ == '__main__':
    unittest.main()
