"""Internal. Write a first document class, its template and its test for a model of a project.

``plan``           which files are written, and what is in them
``modules``        add a class to a module without losing what is there
``template``       HTML of a model's fields, and of the rows that belong to an object
``sample_objects`` code that creates an object of a model, for a test

The texts are the files that end with ``.txt``; ``$name`` is replaced.
"""
