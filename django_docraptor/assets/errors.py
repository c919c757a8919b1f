"""Internal. The error for unusable assets."""

from django_docraptor.exceptions import DocRaptorError


class AssetError(DocRaptorError):
    """An asset is missing, too large, or outside the allowed directories.

    Args:
        message: asset, problem and remedy.
    """

    code = "asset"
    #: Template and line of the tag; blank and 0 without a tag.
    template, line = "", 0

    def with_location(self, tag: str, template: str, line: int) -> "AssetError":
        """Return a copy of the error with the tag's location."""
        error = AssetError(f"{{% {tag} %}} in {template}, line {line}: {self}")
        error.template, error.line = template, line
        return error
