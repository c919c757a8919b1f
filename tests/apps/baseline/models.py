"""A document's row."""

from django.db import models


class Document(models.Model):
    """A document that is wanted; it has a file when it is there, or an error."""

    name = models.CharField(max_length=200, unique=True)
    file = models.FileField(upload_to="naive", blank=True)
    error = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.name
