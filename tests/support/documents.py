"""What the ordered documents hold. Nothing of the site is set up here."""


def content_of(name: str) -> str:
    """The HTML of a document: no two are alike."""
    return f"<h1>{name}</h1>"
