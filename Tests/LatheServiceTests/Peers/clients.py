"""The vendor's SDKs as clients of the service, behind one face: `core` signs as V1.0, `tea` as V3, and `tea-v1` as V1.0."""
import time

import oss2
from aliyunsdkcore.acs_exception.exceptions import ServerException
from aliyunsdkcore.auth.credentials import StsTokenCredential
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import RpcRequest
from alibabacloud_ecs20140526 import models as ecs
from alibabacloud_ecs20140526.client import Client as ECSClient
from alibabacloud_sts20150401 import models as sts
from alibabacloud_sts20150401.client import Client as STSClient
from alibabacloud_tea_openapi import utils_models
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException

import json

KINDS = ['core', 'tea', 'tea-v1']
REGION = 'cn-hangzhou'


class Refused(Exception):
    """What an SDK raised for an answer that is an error."""

    def __init__(self, status, code, message, request):
        super().__init__('%s %s: %s' % (status, code, message))
        self.status, self.code, self.message, self.request = status, code, message, request


class Core:
    """aliyun-python-sdk-core, with the requests of aliyun-python-sdk-ecs."""

    def __init__(self, endpoint, key, secret, token=None):
        self.address = endpoint.split('://')[1]
        credential = StsTokenCredential(key, secret, token) if token else None
        self.client = AcsClient(None if token else key, None if token else secret, REGION, credential=credential, auto_retry=False, timeout=60)

    def call(self, action, **parameters):
        module = __import__('aliyunsdkecs.request.v20140526.%sRequest' % action, fromlist=['x'])
        request = getattr(module, action + 'Request')()
        for name, value in parameters.items():
            if name == 'RegionId':
                # What the SDK's own signer and resolver put in, it takes from here as well.
                request.add_query_param('RegionId', value)
            elif name == 'DiskDeviceMapping':
                request.set_DiskDeviceMappings(value)
            else:
                getattr(request, 'set_' + name)(value)
        request.set_endpoint(self.address)
        request.set_protocol_type('http')
        request.set_accept_format('json')
        return self._do(request)

    def assume_role(self, arn, name):
        request = RpcRequest('Sts', '2015-04-01', 'AssumeRole')
        request.add_query_param('RoleArn', arn)
        request.add_query_param('RoleSessionName', name)
        request.set_endpoint(self.address)
        request.set_protocol_type('http')
        request.set_accept_format('json')
        return self._do(request)

    def _do(self, request):
        try:
            return json.loads(self.client.do_action_with_exception(request))
        except ServerException as error:
            raise Refused(error.get_http_status(), error.get_error_code(), error.get_error_msg(), error.get_request_id()) from None


class Tea:
    """alibabacloud_ecs20140526 over alibabacloud_tea_openapi."""

    def __init__(self, endpoint, key, secret, token=None, algorithm=None):
        self.config = utils_models.Config(
            access_key_id=key, access_key_secret=secret, security_token=token, region_id=REGION, endpoint=endpoint.split('://')[1],
            protocol='http', signature_algorithm=algorithm, read_timeout=60_000, connect_timeout=10_000)
        self.client = ECSClient(self.config)

    def call(self, action, **parameters):
        parameters.setdefault('RegionId', REGION)
        request = getattr(ecs, action + 'Request')().from_map(parameters)
        return self._do(getattr(self.client, _snake(action)), request)

    def assume_role(self, arn, name):
        return self._do(STSClient(self.config).assume_role, sts.AssumeRoleRequest(role_arn=arn, role_session_name=name))

    def _do(self, method, request):
        try:
            return method(request).body.to_map()
        except AlibabaCloudException as error:
            raise Refused(error.status_code, error.code, error.message, (error.data or {}).get('RequestId')) from None


def _snake(name):
    return ''.join('_' + letter.lower() if letter.isupper() else letter for letter in name).lstrip('_')


def client(kind, endpoint, key, secret, token=None):
    if kind == 'core':
        return Core(endpoint, key, secret, token)
    return Tea(endpoint, key, secret, token, 'v2' if kind == 'tea-v1' else None)


def bucket(endpoint, key, secret, name, token=None):
    auth = oss2.StsAuth(key, secret, token, auth_version='v4') if token else oss2.AuthV4(key, secret)
    return oss2.Bucket(auth, endpoint, name, region=REGION, connect_timeout=30)


def wait_for(done, seconds=120, what='it'):
    """Waits until a function answers something true, and answers that."""
    deadline = time.monotonic() + seconds
    while True:
        if value := done():
            return value
        if time.monotonic() > deadline:
            raise AssertionError('%s did not come within %d s' % (what, seconds))
        time.sleep(0.05)
