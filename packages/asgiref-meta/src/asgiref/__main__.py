"""`python -m asgiref`: is the package `asgiref` in this environment whole, and whose is it?

asgiref has no file of this name, so this one is still here when its wheel has overwritten the others.
"""

import sys

from asgiref._doctor import main

if __name__ == "__main__":
    sys.exit(main())
