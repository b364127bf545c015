"""The version of joblot, in a module that imports nothing: whoever records or shows it need not import the package upward."""

__version__ = "0.1.0"
