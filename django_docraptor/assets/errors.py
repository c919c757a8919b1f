"""What is said when an asset cannot be used."""

from django_docraptor.exceptions import DocRaptorError


class AssetError(DocRaptorError):
    """An asset is missing, too large, or outside of what may be read.

    Args:
        message: which asset, what is wrong with it and what to do.
    """

    code = "asset"
    #: The template, and the line of the tag in it; blank and 0 where no tag asked.
    template, line = "", 0

    def located(self, tag: str, template: str, line: int) -> "AssetError":
        """The same, with the template tag that asked for the asset."""
        error = AssetError(f"{{% {tag} %}} in {template}, line {line}: {self}")
        error.template, error.line = template, line
        return error
