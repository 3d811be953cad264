import ExportService
import Testing

@Suite struct DiskFactsTests {
    @Test func factsAreComparedByFormatAndSize() {
        #expect(DiskFacts(format: "raw", virtualSize: 512) != DiskFacts(format: "vhd", virtualSize: 512))
    }
}
