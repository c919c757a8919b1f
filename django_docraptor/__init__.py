"""DocRaptor documents for Django: HTML in, PDF or Excel out, never stuck, never billed twice."""

__version__ = "0.1.0"
