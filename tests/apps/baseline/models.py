"""The row of a document."""

from django.db import models


class Document(models.Model):
    """A requested document, with a file once it is completed, or an error."""

    name = models.CharField(max_length=200, unique=True)
    file = models.FileField(upload_to="baseline", blank=True)
    error = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.name
