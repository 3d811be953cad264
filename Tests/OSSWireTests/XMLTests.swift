import LatheTestSupport
import OSSWire
import Testing

@Suite struct XMLTests {
    private func tree(_ text: String, _ limits: XMLTree.Limits = .init()) throws -> XMLTree {
        try XMLTree(parsing: Array(text.utf8), limits: limits)
    }

    @Test func elementsTextsAndReferencesAreRead() throws {
        let text = """
            \u{FEFF}<?xml version="1.0" encoding='UTF-8'?>
            <!-- before --> <a:Root xmlns:a="urn:x" b = 'c>d' >
              <Empty/><Space>  k </Space><?pi x?>
              <Text>a&lt;b&#x41;&#66;&amp;amp;<![CDATA[<&>]]>é<!-- in --></Text>
              <Text>2</Text>
            </a:Root><!-- behind -->
            """
        let root = try tree(text)
        #expect(root.name == "Root" && root.text.isEmpty && root.children.count == 4)
        #expect(root["Empty"] == XMLTree("Empty"))
        #expect(root["Space"]?.text == "  k ")
        #expect(root.all("Text").map(\.text) == ["a<bAB&amp;<&>é", "2"])
        #expect(root["Nothing"] == nil)
    }

    @Test(arguments: [
        "", " ", "text", "<", "<a", "<a>", "<a></b>", "<a/><b/>", "<a/>x", "<a b></a>", "<a b=c/>", "<a b='c/>",
        "<a b='<'/>", "<a b='1'c='2'/>x", "<a>&nbsp;</a>", "<a>&lt</a>", "<a>&#0;</a>", "<a>&#xD800;</a>", "<a>&#;</a>",
        "<a><![CDATA[</a>", "<!-- <a/>", "<a><!b></a>", "</a>", "<1></2>", "<a></a", "<a/ >", "<?xml", "<a>&amp</a>",
        "<a>&#99999999999999999999;</a>", "< a/>",
    ])
    func whatIsNotWellFormedIsAnError(text: String) {
        #expect(throws: XMLError.self) { try tree(text) }
    }

    @Test func aDocumentTypeIsNotTaken() {
        let bomb = """
            <?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><l>&b;</l>
            """
        let error = #expect(throws: XMLError.self) { try tree(bomb) }
        #expect(error?.message.contains("document type") == true)
        #expect(throws: XMLError.self) { try tree("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a>&x;</a>") }
    }

    @Test func depthElementsAndLengthAreBounded() throws {
        let deep = String(repeating: "<a>", count: 1_000_000)
        let error = #expect(throws: XMLError.self) { try tree(deep) }
        #expect(error?.message.contains("deeper than 16") == true)
        let wide = "<r>" + String(repeating: "<a/>", count: 20) + "</r>"
        #expect(try tree(wide).children.count == 20)
        #expect(throws: XMLError.self) { try tree(wide, .init(elements: 20)) }
        #expect(throws: XMLError.self) { try tree(wide, .init(length: wide.utf8.count - 1)) }
        #expect(try tree(wide, .init(length: wide.utf8.count, elements: 21)).children.count == 20)
    }

    @Test func textThatIsNotUTF8IsAnError() {
        let bytes = Array("<a>".utf8) + [0xFF, 0xFE] + Array("</a>".utf8)
        #expect(throws: XMLError.self) { try XMLTree(parsing: bytes) }
    }

    @Test func whatIsWrittenIsReadAgain() throws {
        let awkward = "<a & \"b\" 'c'>\r\n\té\u{1F600}]]>"
        var writer = XMLWriter(root: "Root", namespace: "http://x/?a=1&b=2")
        writer.element("Text", awkward)
        writer.element("Number", UInt64.max)
        writer.element("Inner") { inner in
            inner.element("Flag", true)
            inner.element("Control", "a\u{0}\u{1}b")
        }
        let root = try XMLTree(parsing: writer.bytes)
        #expect(root["Text"]?.text == awkward)
        #expect(root["Number"]?.text == "18446744073709551615")
        #expect(root["Inner"]?["Flag"]?.text == "true")
        #expect(root["Inner"]?["Control"]?.text == "a\u{FFFD}\u{FFFD}b")
    }

    /// Documents with bytes changed, taken out and doubled: an error or a tree, and never a crash.
    @Test func damagedDocumentsNeverCrash() {
        let seed: UInt64 = 20_261
        var generator = SeededGenerator(seed: seed)
        let whole = Array("<?xml version=\"1.0\"?><R a='b'><P>1&lt;&#65;</P><!-- c --><Q><![CDATA[x]]></Q></R>".utf8)
        for round in 0..<3000 {
            var bytes = whole
            for _ in 0...Int.random(in: 0...3, using: &generator) {
                let place = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &generator)
                case 1: bytes.remove(at: place)
                default: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 9)], at: place)
                }
            }
            do throws(XMLError) {
                let tree = try XMLTree(parsing: bytes)
                #expect(tree.children.count < 100, "seed \(seed), round \(round)")
            } catch {
                #expect(error.offset <= bytes.count, "seed \(seed), round \(round)")
            }
        }
    }
}

@Suite struct ErrorBodyTests {
    @Test func anErrorBodyComesBackFromItsXMLAndItsHeader() throws {
        let body = OSSErrorBody(
            code: "RequestTimeTooSkewed", message: "a < b & c", requestID: "57AB", hostID: "h", ec: "0002-1",
            recommendDoc: "https://x/?q=1&r=2", details: [.init("ServerTime", "2022-12-28T10:27:41.000Z")])
        #expect(OSSErrorBody(parsing: body.xml) == body)
        #expect(OSSErrorBody(header: body.headerValue) == body)
        #expect(body.detail("ServerTime") == "2022-12-28T10:27:41.000Z" && body.detail("x") == nil)
    }

    @Test func whatIsNoErrorBodyIsNil() {
        for text in ["", "x", "<Error/>", "<Error><Code></Code></Error>", "<html><Code>x</Code></html>"] {
            #expect(OSSErrorBody(parsing: Array(text.utf8)) == nil, "\(text)")
        }
        #expect(OSSErrorBody(header: "!") == nil)
        #expect(OSSErrorBody(header: Base64.encode([1, 2, 3])) == nil)
    }

    /// Some servers wrap it, as STS does.
    @Test func anErrorInsideAnotherElementIsFound() throws {
        let text = "<ErrorResponse><Error><Code>C</Code><Message>M</Message></Error></ErrorResponse>"
        let body = try #require(OSSErrorBody(parsing: Array(text.utf8)))
        #expect(body.code == "C" && body.message == "M")
    }
}
