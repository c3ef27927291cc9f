"""The distribution `asgiref` here is a stand-in: the import package `asgiref` is asgiref-meta's.

`python -m asgiref` tells whether that is so.
"""

__all__ = ["__version__"]

# The asgiref release whose interface asgiref-meta offers, and the number of this stand-in. A local version
# (PEP 440) satisfies what asks for asgiref 3.13.0 or for a range around it, and no public index has one.
__version__ = "3.13.0+meta.1"
