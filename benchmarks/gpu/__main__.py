"""`python -m benchmarks.gpu PART`: the rows of one part of a visit, as JSON in the last line."""

import json
import sys

from benchmarks.gpu.visit import rows_of

if __name__ == "__main__":
    print(json.dumps(rows_of(sys.argv[1])))
