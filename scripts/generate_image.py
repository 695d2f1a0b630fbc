"""Draw a picture from words: `image2search generate` for those who look in this folder.

    python scripts/generate_image.py "a red car at night" -o output.png

The demo model draws it, unless GENERATION_MODEL names another. `--help` lists the options.
"""

import sys

from app.cli.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "generate")
    main()
