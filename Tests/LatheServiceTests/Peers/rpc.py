"""Requests to the API that no SDK would send: signed by hand, so that every part of them can be wrong."""
import base64
import hashlib
import hmac
import http.client
import json
import socket
import time
import urllib.parse
import uuid

VERSIONS = {'AssumeRole': '2015-04-01'}


def percent(text):
    return urllib.parse.quote(text, safe='-_.~', encoding='utf-8', errors='surrogateescape')


def stamp(seconds=None):
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(seconds))


def canonical(parameters):
    return '&'.join('%s=%s' % (percent(name), percent(value)) for name, value in sorted(parameters.items()))


def v1(key, secret, action, parameters, method='GET', shift=0, nonce=None, token=None):
    """The parameters of a request with those of a V1.0 signature (HMAC-SHA1)."""
    signed = dict(parameters, **{
        'Action': action, 'Version': VERSIONS.get(action, '2014-05-26'), 'Format': 'JSON', 'AccessKeyId': key,
        'SignatureMethod': 'HMAC-SHA1', 'SignatureVersion': '1.0', 'SignatureNonce': nonce or str(uuid.uuid4()),
        'Timestamp': stamp(time.time() + shift)})
    if token:
        signed['SecurityToken'] = token
    string = '%s&%%2F&%s' % (method, percent(canonical(signed)))
    digest = hmac.new((secret + '&').encode(), string.encode(), hashlib.sha1).digest()
    return dict(signed, Signature=base64.b64encode(digest).decode())


def v3(key, secret, action, parameters, host, shift=0, nonce=None, token=None, body=b'', more=None):
    """The query of a request and its headers, with a V3 signature (ACS3-HMAC-SHA256)."""
    headers = dict({
        'host': host, 'x-acs-action': action, 'x-acs-version': VERSIONS.get(action, '2014-05-26'),
        'x-acs-date': stamp(time.time() + shift), 'x-acs-signature-nonce': nonce or uuid.uuid4().hex,
        'x-acs-content-sha256': hashlib.sha256(body).hexdigest()}, **(more or {}))
    if token:
        headers['x-acs-accesskey-id'], headers['x-acs-security-token'] = key, token
    names = sorted(headers)
    query = canonical(parameters)
    request = '\n'.join(['POST', '/', query, ''.join('%s:%s\n' % (name, headers[name]) for name in names), ';'.join(names),
                         headers['x-acs-content-sha256']])
    string = 'ACS3-HMAC-SHA256\n' + hashlib.sha256(request.encode()).hexdigest()
    signature = hmac.new(secret.encode(), string.encode(), hashlib.sha256).hexdigest()
    headers['authorization'] = 'ACS3-HMAC-SHA256 Credential=%s,SignedHeaders=%s,Signature=%s' % (key, ';'.join(names), signature)
    headers['accept'] = 'application/json'
    return query, headers


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The code of a refusal; None for what is none."""
        return None if self.status < 300 else self.json['Code']

    def __repr__(self):
        return '%d %s' % (self.status, self.body[:500])


def send(endpoint, method, target, headers=None, body=None, seconds=60):
    """One exchange, on a connection of its own."""
    at = urllib.parse.urlparse(endpoint)
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=seconds)
    try:
        connection.request(method, target, body=body, headers=headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def call_v1(endpoint, key, secret, action, parameters, method='GET', form=False, **more):
    query = urllib.parse.urlencode(v1(key, secret, action, parameters, method, **more), errors='surrogateescape')
    if form:
        return send(endpoint, method, '/', {'content-type': 'application/x-www-form-urlencoded'}, query)
    return send(endpoint, method, '/?' + query)


def call_v3(endpoint, key, secret, action, parameters, **more):
    query, headers = v3(key, secret, action, parameters, urllib.parse.urlparse(endpoint).netloc, **more)
    return send(endpoint, 'POST', '/?' + query, headers)


def raw(endpoint, data, seconds=60):
    """Sends bytes as they are, and answers all that comes until the connection is closed."""
    at = urllib.parse.urlparse(endpoint)
    with socket.create_connection((at.hostname, at.port), timeout=seconds) as connection:
        connection.sendall(data)
        pieces = []
        try:
            while piece := connection.recv(1 << 16):
                pieces.append(piece)
        except (ConnectionResetError, BrokenPipeError):
            pass
        return b''.join(pieces)
