import Foundation
import LatheTestSupport
import OSSWire
import Testing

/// The signers of the vendors' own clients sign what we sign, over requests that are made up.
@Suite struct PeerSignatureTests {
    /// A request as the script gets it.
    struct Case: Codable {
        var method: String
        var bucket: String
        var key: String
        var query: [[String]]
        var headers: [[String]]
        var token: String?
        var additional: [String]
        var time: UInt64
        var payloadHash: String
    }

    /// The signatures of one request by each signer.
    struct Answer: Codable {
        var oss2V1: String
        var oss2V4: String
        var ossV1: String
        var ossV4: String
        var s3: String
    }

    @Test(.requiresPeer("python")) func theVendorsSignersAgree() throws {
        let seed: UInt64 = 4711
        var generator = SeededGenerator(seed: seed)
        let cases = (0..<120).map { _ in Self.madeUp(&generator) }
        let file = try TemporaryDirectory()
        try JSONEncoder().encode(cases).write(to: URL(filePath: file.file("cases.json")))
        let output = try PeerPrograms.python(Self.script, [file.file("cases.json")])
        let answers = try JSONDecoder().decode([Answer].self, from: Data(output.utf8))
        try #require(answers.count == cases.count)
        for (number, (one, answer)) in zip(cases, answers).enumerated() {
            let ours = Self.signed(one)
            #expect(ours.oss2V1 == answer.oss2V1, "seed \(seed), case \(number): \(one)")
            #expect(ours.oss2V4 == answer.oss2V4, "seed \(seed), case \(number): \(one)")
            #expect(ours.ossV1 == answer.ossV1, "seed \(seed), case \(number): \(one)")
            #expect(ours.ossV4 == answer.ossV4, "seed \(seed), case \(number): \(one)")
            #expect(ours.s3 == answer.s3, "seed \(seed), case \(number): \(one)")
        }
    }

    private static func madeUp(_ generator: inout SeededGenerator) -> Case {
        func text(_ letters: String, _ lengths: ClosedRange<Int>) -> String {
            let letters = Array(letters)
            return String(
                (0..<Int.random(in: lengths, using: &generator)).map { _ in
                    letters[Int.random(in: 0..<letters.count, using: &generator)]
                })
        }
        let awkward = "aZ0-._~ /+%&=?#|é漢*'()!"
        var names: Set<String> = []
        let subresources = ["acl", "uploads", "uploadId", "partNumber", "prefix", "max-keys", "response-content-type"]
        for _ in 0..<Int.random(in: 0...4, using: &generator) {
            names.insert(
                Bool.random(using: &generator)
                    ? text(awkward, 1...6) : subresources.randomElement(using: &generator) ?? "")
        }
        var headers = [["Content-Type", text("abc/", 1...9)]]
        if Bool.random(using: &generator) { headers.append(["Content-MD5", text("abcXYZ=", 8...24)]) }
        for name in ["x-oss-meta-a", "X-OSS-Meta-B", "x-oss-object-acl", "abc", "Range"]
        where Bool.random(using: &generator) {
            headers.append([name, text("aZ0-=", 1...20)])
        }
        return Case(
            method: ["GET", "PUT", "POST", "DELETE", "HEAD"].randomElement(using: &generator) ?? "GET",
            bucket: text("abc0-", 3...12), key: "k" + text(awkward, 0...30),
            query: names.sorted().map { [$0, Bool.random(using: &generator) ? text(awkward, 1...8) : ""] },
            headers: headers, token: Bool.random(using: &generator) ? text("aZ0/+=", 8...40) : nil,
            additional: ["abc", "Range"].filter { name in headers.contains { $0[0] == name } },
            time: UInt64.random(in: 1_500_000_000...2_000_000_000, using: &generator),
            payloadHash: Bool.random(using: &generator) ? unsignedPayload : text("0123456789abcdef", 64...64))
    }

    private static func signed(_ one: Case) -> Answer {
        let plain = Credentials(accessKeyID: "ak", accessKeySecret: "sk/+")
        let credentials = Credentials(accessKeyID: "ak", accessKeySecret: "sk/+", securityToken: one.token)
        let request = WireRequest(
            method: one.method, bucket: one.bucket, key: one.key, query: one.query.map { QueryItem($0[0], $0[1]) },
            headers: one.headers.map { HeaderField($0[0], $0[1]) })
        func signature(_ sign: (inout WireRequest) -> Void) -> String {
            var signed = request
            sign(&signed)
            return signed.header("Authorization") ?? ""
        }
        let v4 = signature {
            OSSSignatureV4.sign(
                &$0, credentials, region: "cn-hangzhou", at: one.time, additionalHeaders: one.additional)
        }
        let v4Signature = OSSSignatureV4.Authorization(parsing: v4)?.signature ?? ""
        let s3 = signature {
            $0.setHeader("Host", "127.0.0.1:9000")
            S3Signature.sign(
                &$0, path: "/\(one.bucket)/\(one.key)", credentials, region: "us-east-1",
                payloadHash: one.payloadHash, at: one.time)
        }
        return Answer(
            oss2V1: signature { OSSSignature.signV1(&$0, credentials, at: one.time) }, oss2V4: v4Signature,
            ossV1: signature { OSSSignature.signV1(&$0, plain, at: one.time) }, ossV4: v4Signature, s3: s3)
    }

    /// oss2's own methods for making a signature are asked directly, since it takes the time from the clock.
    ///
    /// The newer client sends the token of version 1 in a header that is not signed, and gets none here.
    private static let script = """
        import datetime, json, sys, types, urllib.parse
        from email.utils import formatdate
        import oss2.auth, botocore.auth
        from requests.structures import CaseInsensitiveDict
        from alibabacloud_oss_v2.signer import SignerV1, SignerV4
        from alibabacloud_oss_v2.types import SigningContext, HttpRequest, Credentials
        from botocore.awsrequest import AWSRequest
        import botocore.credentials

        quote = lambda text: urllib.parse.quote(text, safe='')
        answers = []
        for case in json.load(open(sys.argv[1])):
            time = datetime.datetime.fromtimestamp(case['time'], datetime.timezone.utc)
            basic, date = time.strftime('%Y%m%dT%H%M%SZ'), formatdate(case['time'], usegmt=True)
            bucket, key, token = case['bucket'], case['key'], case.get('token')
            answer = {}

            provider = oss2.credentials.StaticCredentialsProvider('ak', 'sk/+', token or '')
            def old(**more):
                headers = CaseInsensitiveDict(case['headers'])
                if token: headers['x-oss-security-token'] = token
                headers.update(more)
                return types.SimpleNamespace(method=case['method'], params=dict(case['query']), headers=headers,
                                             region='cn-hangzhou', cloudbox_id=None, product='oss')
            auth = oss2.auth.ProviderAuth(provider)
            signature = auth._ProviderAuth__make_signature(old(date=date), bucket, key, provider.get_credentials())
            answer['oss2V1'] = 'OSS ak:' + signature
            auth = oss2.auth.ProviderAuthV4(provider)
            request = old(**{'x-oss-date': basic, 'x-oss-content-sha256': 'UNSIGNED-PAYLOAD'})
            additional = sorted(name.lower() for name in case['additional'])
            answer['oss2V4'] = auth._ProviderAuthV4__make_signature(
                request, bucket, key, additional, provider.get_credentials(), basic)

            query = '&'.join(quote(n) + ('=' + quote(v) if v else '') for n, v in case['query'])
            for name, signer in (('ossV1', SignerV1()), ('ossV4', SignerV4())):
                request = HttpRequest(case['method'], 'http://h/' + ('?' + query if query else ''))
                request.headers.update(dict(case['headers']))
                context = SigningContext(
                    product='oss', region='cn-hangzhou', bucket=bucket, key=key, request=request, signing_time=time,
                    additional_headers=set(case['additional']),
                    credentials=Credentials('ak', 'sk/+', token if name == 'ossV4' else None))
                signer.sign(context)
                answer[name] = request.headers['Authorization']
            answer['ossV4'] = answer['ossV4'].split('Signature=')[1]

            path = urllib.parse.quote('/%s/%s' % (bucket, key), safe='/-._~')
            query = '&'.join(quote(n) + '=' + quote(v) for n, v in case['query'])
            request = AWSRequest(case['method'], 'http://127.0.0.1:9000' + path + ('?' + query if query else ''),
                                 headers=dict(case['headers']))
            request.context['payload_signing_enabled'] = True
            botocore.auth.get_current_datetime = lambda: time
            signer = botocore.auth.S3SigV4Auth(
                botocore.credentials.Credentials('ak', 'sk/+', token), 's3', 'us-east-1')
            signer.payload = lambda request: case['payloadHash']
            signer.add_auth(request)
            answer['s3'] = request.headers['Authorization'].replace(', ', ',')
            answers.append(answer)
        print(json.dumps(answers))
        """
}
