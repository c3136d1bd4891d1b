import sys

from bench.bundle.pack import main

sys.exit(main())
