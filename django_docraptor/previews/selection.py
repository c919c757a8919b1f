"""Internal. What a person has chosen to preview: a sample of a document, and its parameters."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from django import forms
from django.http import QueryDict

from django_docraptor.documents.presentation import form_params
from django_docraptor.previews.failures import Failure, PreviewError, describe_failure
from django_docraptor.previews.rendering import discarded_changes
from django_docraptor.previews.samples import DocumentClass, Sample, find_samples

# The parameter of the URL that names the sample, and the prefix of the form's fields.
SOURCE: Final = "source"
PREFIX: Final = "params"


class UnknownSampleError(LookupError):
    """The document has no such sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A sample of a document, and the parameters for it.

    Args:
        samples: all of the document.
        sample: the chosen one; ``None`` if there is none.
        form: the document's form for parameters, if it declares one.
        params: ``None`` until the form is filled in.
        failure: why there is no sample, or no parameters.
    """

    document: DocumentClass
    samples: list[Sample] = field(default_factory=list)
    sample: Sample | None = None
    form: forms.Form | None = None
    params: Mapping[str, Any] | None = None
    failure: Failure | None = None


def select(document: DocumentClass, data: QueryDict) -> Selection:
    """Return what a URL's query selects; by default the first sample.

    What a hook or a form raises is the selection's failure.

    Raises:
        UnknownSampleError: the query names a sample that is not one of the document.
    """
    selection = Selection(document=document)
    try:
        with discarded_changes(document):
            selection = replace(selection, samples=find_samples(document))
            if not selection.samples:
                raise PreviewError(_no_samples(document))
            sample = _choose(selection.samples, data.get(SOURCE))
            selection = replace(selection, sample=sample)
            return _with_params(selection, sample, data)
    except UnknownSampleError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the project's code raises
        return replace(selection, failure=describe_failure(error))


def selected_query(data: QueryDict) -> str:
    """Return the part of a URL's query that selects."""
    query = data.copy()
    for name in data:
        if name != SOURCE and not name.startswith(f"{PREFIX}-"):
            del query[name]
    return query.urlencode()


def _choose(samples: list[Sample], key: str | None) -> Sample:
    for sample in samples:
        if key in (None, sample.key):
            return sample
    raise UnknownSampleError(key)


def _with_params(selection: Selection, sample: Sample, data: QueryDict) -> Selection:
    document = selection.document
    params = dict(document.get_preview_params(sample.source))
    if document.form_class is None:
        return replace(selection, params=params)
    form = document.form_class(initial=params, prefix=PREFIX)
    if any(name.startswith(f"{PREFIX}-") for name in data):
        form = document.form_class(data, initial=params, prefix=PREFIX)
    elif params:
        return replace(selection, form=form, params=params)
    else:
        filled = document.form_class(dict(_initial_data(form)), prefix=PREFIX)
        form = filled if filled.is_valid() else form
    if not form.is_valid():
        return replace(selection, form=form)
    return replace(selection, form=form, params={**params, **form_params(form.cleaned_data)})


def _initial_data(form: forms.Form) -> Iterator[tuple[str, Any]]:
    """Yield what a browser would submit if nothing was entered."""
    for name, form_field in form.fields.items():
        value = form.get_initial_for_field(form_field, name)
        if value is None and isinstance(form_field.widget, forms.Select):
            value = next((key for key, _text in form_field.widget.choices), None)
        if value is not None:
            yield form.add_prefix(name), value


def _no_samples(document: DocumentClass) -> str:
    name = document.__name__
    if document.model is None:
        return f"{name}.get_preview_sources() returns no objects. Return at least one."
    model = document.model._meta.object_name
    return (
        f"{name} needs an object of the model {model}, and there is none yet. Create one, or "
        f"return sample objects from {name}.get_preview_sources()."
    )
