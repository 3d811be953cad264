public import ImageModel
public enum FormatDetection { public static func detect(_ source: any ImageSource, name: String) throws(ImageError) -> ImageFormat { .raw } }
