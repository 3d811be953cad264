// The parts of Lathe, one by one and without a disk. `check.py` counts their instructions; run by itself, this measures time.

import Benchmark

registerScans()
registerCompressors()
registerEncoders()
registerReaders()

Benchmark.main()
