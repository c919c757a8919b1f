"""A site of django-tenants: each tenant has a schema, and in it its own jobs and documents."""

# Tenants and their hosts: all of 127.0.0.0/8 is this machine.
HOSTS = {"anna": "127.0.0.2", "bert": "127.0.0.3"}
